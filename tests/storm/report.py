"""What a storm did, as a table for people."""

from collections import Counter
from typing import TYPE_CHECKING

from tests.storm.audit import Findings
from tests.storm.load import NUM_VISITORS
from tests.storm.storm import FAULTS, Storm, reason_against
from tests.system.client import Reply

if TYPE_CHECKING:
    from tests.storm.course import Plan

MOST_SHOWN = 10


def table(plan: "Plan", storm: Storm, findings: Findings, *, lasted: float, drained: float) -> str:
    lines = [
        f"Storm of {lasted:.0f} s on {plan.database}, seed {plan.seed}",
        f"{NUM_VISITORS} visitors, together {plan.rate:g} uploads a second",
        "",
        f"{'fault':<20}{'times':>6}",
        *(_fault_line(storm, name) for name in (*FAULTS, "poison picture", "promotion done")),
        "",
        f"kill -9   {sum(storm.kills.values())}: {_counts(storm.kills)}",
        f"          {storm.hits} hit a worker that had just begun with a picture",
        *_upload_lines(storm),
        *_row_lines(storm),
        f"drained   {drained:.1f} s after everything was up and the last upload was sent",
        "",
        *(f"{name:<12}{len(found):>5}" for name, found in vars(findings).items()),
    ]
    for found in vars(findings).values():
        lines += found[:MOST_SHOWN]
    return "\n".join(lines)


def _fault_line(storm: Storm, name: str) -> str:
    reason = reason_against(storm, name)
    return f"{name:<20}{storm.strikes[name]:>6}" if not reason else f"{name:<20}{'-':>6}  left out: {reason}"


def _upload_lines(storm: Storm) -> list[str]:
    entries = storm.ledger.entries
    uploads = {entry.number for entry in entries}
    promised = {entry.number for entry in entries if entry.is_promised}
    refusals = Counter(_why(entry.reply) for entry in entries if not entry.is_promised)
    kept = Counter(str(entry.reply.status) for entry in entries if entry.is_promised)
    images = {entry.sha256 for entry in entries if entry.is_promised}
    return [
        f"uploads   {len(uploads)}, of them {len(promised)} promised ({_counts(kept)}), {len(images)} different images",
        "          not taken, most of them sent again with the same key:",
        *(f"          {number:>6} {why}" for why, number in refusals.most_common(MOST_SHOWN)),
    ]


def _why(reply: Reply) -> str:
    """The status of a refusal and its words; without an answer, the kind of error."""
    try:
        return f"{reply.status} {reply.body['detail']}"
    except (ValueError, KeyError):
        return f"{reply.status} {reply.text.partition(':')[0][:60]}"


def _row_lines(storm: Storm) -> list[str]:
    found = storm.ledger.stored().values()
    ends = Counter(row.status if row.status == "succeeded" else f"{row.status} {row.error_code}" for row in found)
    again = sum(row.attempts > 1 for row in found)
    return [f"rows      {len(found)}: {_counts(ends)}; {again} took more than one attempt"]


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counter.items())) or "none"
