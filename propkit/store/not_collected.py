"""What was asked for and is not in the tables: one row a parcel and source, by the last word on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from propkit.identifier_lists import TABLE_SUFFIXES
from propkit.layer_plan import BETWEEN
from propkit.records import STORED_TYPES
from propkit.store.reading import Reading
from propkit.terms import Terms

if TYPE_CHECKING:
    import pandas as pd

NOT_COLLECTED: Final = "not_collected"
"""The name of the frame, and of a workbook's sheet."""

_AGAIN: Final = "later: kit.batch({batch}).retry()"
_GO_ON: Final = "kit.batch({batch}).resume()"
_WHAT_TO_DO: Final[Mapping[tuple[str, str], str]] = {
    ("failed", ""): _AGAIN,
    ("failed", "blocked"): f"ask the county, then {_GO_ON}",
    ("failed", "rejected"): f"set the token, then {_GO_ON}",
    ("failed", "unsettled"): f"kit.settle(), then {_GO_ON}",
    ("failed", "layout_changed"): "report it: propkit must learn the layout",
    ("failed", "budget"): f"raise the limit, then {_AGAIN.removeprefix('later: ')}",
    ("not_found", ""): "check the key: the source has nothing under it",
    ("partial", ""): "collect it again: what is missing is asked for again",
    ("waiting", ""): _GO_ON,
    ("waiting", "running"): f"{_GO_ON}, once it has ended",
    ("cancelled", ""): _GO_ON,
    ("stale", ""): "collect it again when the source answers",
    ("over_budget", ""): "collect it again with a larger budget",
    ("not_usable", ""): "correct it in the list, and collect it",
}
"""By outcome, and failure class or what becomes of the batch; where that is none, by the outcome."""

_FILE_NAME: Final = rf"(?i)[.]({'|'.join(one[1:] for one in TABLE_SUFFIXES)})(,|$)"

_SQL: Final = """
    WITH given AS (SELECT unnest($sources) AS source, unnest($given) AS "table"),
    places AS (SELECT unnest($tables) AS "table", generate_subscripts($tables, 1) AS place),
    advice AS (
        SELECT unnest($outcomes) AS outcome, unnest($causes) AS cause, unnest($advices) AS advice),
    heads AS (
        SELECT batch_id, number, kind, created_at, criteria,
            state IN ('pending', 'running') AS is_active,
            coalesce(CAST(criteria -> 'datasets' AS VARCHAR[]), []) AS datasets,
            coalesce(CAST(criteria -> 'sources' AS VARCHAR[]), []) AS asked_with
        FROM batch_heads WHERE kind NOT IN ('validation', 'search')),
    -- An item of a layer asks for many APNs; a page of leads and a part of an area name none.
    asked AS (
        SELECT source, key, CASE WHEN is_of_many THEN key ELSE apn END AS apn, number, batch_id,
            kind, created_at, is_active, datasets, asked_with, failure_class, error, missing,
            coalesce(ended_at, created_at) AS noted_at,
            CASE WHEN state = 'running' THEN 'waiting'
                WHEN state <> 'skipped' THEN state
                WHEN starts_with(error, 'stale') THEN 'stale'
                WHEN starts_with(error, 'budget') THEN 'over_budget' ELSE 'fresh' END AS word
        FROM (
            SELECT * EXCLUDE (key), apn IS NULL AND kind NOT IN ('area', 'leads') AS is_of_many,
                unnest(CASE WHEN is_of_many THEN string_split(key, $between) ELSE [key] END) AS key
            FROM items JOIN heads USING (batch_id) WHERE replaced_by IS NULL)),
    wanted AS (
        SELECT source, key, list_distinct(flatten(list(DISTINCT datasets))) AS wanted
        FROM asked GROUP BY source, key),
    last AS (
        FROM asked JOIN wanted USING (source, key)
        QUALIFY row_number() OVER (PARTITION BY source, key ORDER BY noted_at DESC, number DESC) = 1),
    answers AS (
        SELECT source, key, max(checked_at) AS checked_at, arg_max(is_found, checked_at) AS is_found,
            arg_max(missing, checked_at) AS lacking
        FROM freshness GROUP BY source, key),
    -- What an answer says counts where the item came to one, or another batch asked since.
    judged AS (
        SELECT last.*, checked_at, is_found, word IN ('done', 'not_found', 'fresh') AS has_ended,
            coalesce(has_ended OR checked_at > created_at, false) AND checked_at IS NOT NULL
                AS is_answered,
            CASE WHEN is_answered AND NOT is_found THEN 'not_found'
                WHEN is_answered AND len(lacking) > 0 THEN 'partial'
                WHEN is_answered OR word = 'fresh' THEN 'done'
                WHEN word = 'done' AND len(missing) > 0 THEN 'partial' ELSE word END AS outcome,
            CASE WHEN is_answered THEN lacking ELSE missing END AS lacking
        FROM last LEFT JOIN answers USING (source, key)),
    open AS (
        SELECT row_number() OVER () AS id, * FROM judged
        -- A page beyond the last lead and an empty part of an area leave nothing out.
        WHERE outcome <> 'done' AND NOT (outcome = 'not_found' AND kind IN ('area', 'leads'))),
    -- Where the roll was never read, what its answer leads to was not asked for either.
    owed AS (
        SELECT id, "table" FROM open, given
        WHERE (given.source = open.source OR (list_contains($rolls, open.source)
                AND list_contains($keyed, given.source)
                AND list_contains(asked_with, given.source)
                AND outcome NOT IN ('partial', 'not_found') AND checked_at IS NULL))
            AND outcome <> 'partial'
        UNION SELECT id, unnest(lacking) FROM open WHERE outcome = 'partial'),
    wanting AS (
        SELECT id, "table" FROM owed JOIN open USING (id)
        WHERE len(wanted) = 0 OR list_contains(wanted, "table")),
    covered AS (
        SELECT id, given."table" FROM open JOIN answers USING (key) JOIN given
            ON given.source = answers.source
        WHERE answers.source <> open.source AND answers.is_found
            AND NOT list_contains(answers.lacking, given."table")
            AND (word = 'fresh' OR answers.checked_at > created_at)),
    absent AS (
        SELECT id, list("table" ORDER BY place, "table") AS missing
        FROM (FROM wanting EXCEPT FROM covered) LEFT JOIN places USING ("table")
        WHERE coalesce(list_contains($named::VARCHAR[], "table"), true) GROUP BY id),
    unusable AS (
        SELECT identifier, reason, number, batch_id, created_at, datasets, origin
        FROM (
            SELECT number, batch_id, created_at, datasets, criteria ->> 'origin' AS origin,
                unnest(map_keys(refused)) AS identifier, unnest(map_values(refused)) AS reason
            FROM (SELECT *, CAST(criteria -> 'not_usable' AS MAP(VARCHAR, VARCHAR)) AS refused
                FROM heads))
        -- A newer list of the same file is the last word on what the file holds.
        WHERE NOT regexp_matches(origin, $file_name)
            OR (origin, number) IN (
                SELECT criteria ->> 'origin', max(number) FROM heads GROUP BY 1)
        QUALIFY row_number() OVER (PARTITION BY identifier ORDER BY number DESC) = 1)
    SELECT CASE WHEN apn IS NULL THEN identifier ELSE coalesce(written, apn) END AS identifier,
        apn, source, key, missing, outcome, failure_class, error, noted_at,
        older_collected_at, replace(coalesce(advice, usual), '{batch}', number::VARCHAR) AS what_to_do, batch_id
    FROM (
        SELECT NULL AS identifier, apn, source, key, coalesce(absent.missing, []) AS missing,
            outcome, CASE WHEN outcome = word THEN failure_class END AS failure_class,
            CASE WHEN outcome = word OR word = 'done' THEN error END AS error,
            CASE WHEN is_answered THEN checked_at ELSE noted_at END AS noted_at,
            CASE WHEN is_found AND outcome <> 'partial' THEN checked_at END AS older_collected_at,
            coalesce(CASE WHEN outcome = 'waiting' AND is_active THEN 'running' END, failure_class,
                '') AS cause, number, batch_id
        FROM open LEFT JOIN absent USING (id)
        WHERE absent.id IS NOT NULL OR id NOT IN (SELECT id FROM wanting)
        UNION ALL BY NAME
        SELECT identifier, NULL AS apn, NULL AS source, NULL AS key,
            coalesce(list_filter(datasets, lambda t: coalesce(list_contains($named::VARCHAR[], t), true)), [])
                AS missing,
            'not_usable' AS outcome, NULL AS failure_class, reason AS error,
            created_at AS noted_at, NULL AS older_collected_at, '' AS cause, number, batch_id
        FROM unusable WHERE len(missing) > 0 OR len(datasets) = 0)
    LEFT JOIN (SELECT apn, arg_max(identifier, number) AS written
        FROM batch_identifiers JOIN heads USING (batch_id) GROUP BY apn) AS given_as USING (apn)
    LEFT JOIN (SELECT outcome, cause, advice FROM advice) AS exact USING (outcome, cause)
    LEFT JOIN (SELECT outcome, advice AS usual FROM advice WHERE cause = '') USING (outcome)
    ORDER BY apn NULLS LAST, source, key, identifier
"""


def read_not_collected(
    store: Reading, terms: Iterable[Terms], tables: Iterable[str] | None = None
) -> pd.DataFrame:
    """Return what was asked for and is not in the tables: a range index and Arrow dtypes.

    What counts is the last word on each parcel at each source: what failed and was collected since,
    there or at another source that gives the same tables, is not missing. A batch that was deleted
    asks for nothing any more.

    Parameters
    ----------
    terms
        The sources, which tell what each of them gives.
    tables
        Leave out what is missing of other tables; None: of none.

    Returns
    -------
    DataFrame
        The ``identifier`` as it was given, and the ``apn`` as it is used; ``source`` and the ``key`` that it was asked for; the tables that are ``missing`` (none where
        the source is unknown); ``outcome``: failed, not_found, partial, waiting, cancelled, stale,
        over_budget or not_usable; ``failure_class`` and ``error``; ``noted_at`` (UTC), since when
        this is known; ``older_collected_at`` (UTC) where the tables hold what the source said
        before; ``what_to_do``; ``batch_id``.
    """
    known = list(terms)
    given = [(term.source, table) for term in known for table in term.provides]
    advice = [(outcome, cause, what) for (outcome, cause), what in _WHAT_TO_DO.items()]
    return store.frame(
        _SQL,
        {
            "sources": [source for source, _ in given],
            "given": [table for _, table in given],
            "tables": list(STORED_TYPES),
            "outcomes": [outcome for outcome, _, _ in advice],
            "causes": [cause for _, cause, _ in advice],
            "advices": [what for _, _, what in advice],
            "rolls": [t.source for t in known if t.needs is None and "parcels" in t.provides],
            "keyed": [term.source for term in known if term.needs is not None],
            "between": BETWEEN,
            "file_name": _FILE_NAME,
            "named": None if tables is None else list(tables),
        },
    )
