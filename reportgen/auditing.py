"""The audit of a report: of its network and numbers, and at last of the pages and the run.

With a baseline the report holds what changed since, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from reportgen.audits.base import Audit
from reportgen.audits.baseline import baseline_findings
from reportgen.audits.evidence import Evidence
from reportgen.audits.finished import Finished
from reportgen.audits.run import Judged, run_audit, told
from reportgen.compare.compared import Compared, beside, compared
from reportgen.core.report import Report


@dataclass
class Auditing:
    """Checks of one report, in two parts.

    Attributes:
      draft: the report without the audit's checks and findings.
      today: for waivers.
      configs: the content of the baseline's config.yaml, and of this report's.
      found: so far.
      changed: since the baseline; None without one.
    """

    audits: Mapping[str, Audit]
    evidence: Evidence
    draft: Report
    today: date
    configs: tuple[dict[str, Any] | None, dict[str, Any] | None] = (None, None)
    found: Judged = field(default_factory=dict)
    changed: Compared | None = None

    @property
    def early(self) -> dict[str, Audit]:
        """The checks that need no pages."""
        return {name: audit for name, audit in self.audits.items() if audit.about != "report"}

    @property
    def late(self) -> dict[str, Audit]:
        """The checks that look at the pages."""
        return {name: audit for name, audit in self.audits.items() if audit.about == "report"}

    def before_pages(self, advance: Callable[[int], None]) -> Report:
        """The report with what can be said before its pages are drawn.

        Args:
          advance: told of every finished check.
        """
        self.found |= run_audit(self.early, self.evidence, self.today, advance)
        pair = self.evidence.compared
        if pair is not None:
            self.changed = compared(pair.base, self._report(), self.configs)
        return self._report()

    def after_pages(self, finished: Finished) -> Report:
        """The report with all of its checks, to be drawn again."""
        self.evidence.drawn = finished
        self.found |= run_audit(self.late, self.evidence, self.today, lambda done: None)
        return self._report()

    def _report(self) -> Report:
        """Findings of the audit in the configuration's order, of the baseline, then all others."""
        in_order = {name: self.found[name] for name in self.audits if name in self.found}
        checks, findings = told(in_order)
        pair, made = self.evidence.compared, self.draft
        about = () if pair is None else baseline_findings(pair)
        if self.changed is not None:
            made = beside(made, self.changed)
        return replace(made, checks=checks, findings=(*findings, *about, *made.findings))
