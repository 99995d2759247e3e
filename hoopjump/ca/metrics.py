"""What hoopjump-ca has done, in numbers: Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from hoopjump.decision.reasons import Reason

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters since the start; ``connections`` tells how many are open."""

    def __init__(self, connections: Callable[[], int]) -> None:
        self._connections = connections
        self._refused: Counter[Reason] = Counter()
        self._issued = 0
        self._embedded = 0
        self._seconds = 0.0

    def issued(self, seconds: float, *, embedded: bool) -> None:
        """A certificate was handed out; it took so long."""
        self._issued += 1
        self._embedded += embedded
        self._seconds += seconds

    def refused(self, reason: Reason) -> None:
        """A request was refused."""
        self._refused[reason] += 1

    def text(self) -> str:
        """All of them."""
        rows = [
            *_head("certificates_total", "counter", "Certificates issued."),
            f"hoopjump_ca_certificates_total {self._issued}",
            *_head("embedded_tokens_total", "counter", "Certificates issued with a token in them."),
            f"hoopjump_ca_embedded_tokens_total {self._embedded}",
            *_head("issue_seconds", "summary", "Time from a request's last byte to its certificate."),
            f"hoopjump_ca_issue_seconds_sum {self._seconds:.6f}",
            f"hoopjump_ca_issue_seconds_count {self._issued}",
            *_head("refusals_total", "counter", "Requests refused, by reason."),
            *(
                f'hoopjump_ca_refusals_total{{reason="{reason.code}"}} {count}'
                for reason, count in sorted(self._refused.items(), key=lambda item: item[0].code)
            ),
            *_head("connections", "gauge", "Open connections."),
            f"hoopjump_ca_connections {self._connections()}",
        ]
        return "\n".join(rows) + "\n"


def _head(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP hoopjump_ca_{name} {text}", f"# TYPE hoopjump_ca_{name} {kind}"
