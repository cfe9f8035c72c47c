"""One store for many notebooks: the process that owns the file, and its guests.

The first process that opens a store owns the file and collects (:mod:`here`). Others reach it
through Arrow Flight (:mod:`server`, :mod:`guest`), with the same kit, and take its place when it
is gone (:mod:`shared`, :mod:`joining`).
"""
