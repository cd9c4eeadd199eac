"""junit.xml: the audit as test cases, which every CI server shows."""

from __future__ import annotations

from xml.etree import ElementTree

from reportgen.core.blocks import Finding
from reportgen.core.report import Report
from reportgen.render import numbers
from reportgen.render.text import printable


def render_junit(report: Report) -> bytes:
    """A test case for each check of the audit, and one for each method that found a fault.

    Failed are those with a finding as grave as ``report.fail_on`` says; checks that could measure
    nothing are skipped. No times: equal results give equal bytes.
    """
    suite = ElementTree.Element("testsuite", name=printable(report.title))
    checked = {check.name for check in report.checks}
    for check in report.checks:
        own = [finding for finding in report.findings if finding.check == check.name]
        case = _case(suite, "audit", check.name, own, report)
        if check.outcome == "skipped":
            ElementTree.SubElement(case, "skipped", message=printable(check.message))
    others = [finding for finding in report.findings if finding.check not in checked]
    for name in dict.fromkeys(finding.check for finding in others):
        _case(suite, "report", name, [f for f in others if f.check == name], report)
    for kind, count in (
        ("tests", len(suite)),
        ("failures", len(suite.findall("testcase/failure"))),
        ("errors", 0),
        ("skipped", len(suite.findall("testcase/skipped"))),
    ):
        suite.set(kind, str(count))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True) + b"\n"


def _case(
    suite: ElementTree.Element, kind: str, name: str, findings: list[Finding], report: Report
) -> ElementTree.Element:
    case = ElementTree.SubElement(
        suite, "testcase", classname=f"reportgen.{kind}", name=printable(name)
    )
    grave = [finding for finding in findings if finding.severity in report.grave]
    if grave:
        failure = ElementTree.SubElement(
            case, "failure", message=printable(grave[0].message), type=grave[0].severity
        )
        failure.text = "\n".join(map(_told, grave))
    if others := [finding for finding in findings if finding not in grave]:
        ElementTree.SubElement(case, "system-out").text = "\n".join(map(_told, others))
    return case


def _told(finding: Finding) -> str:
    compared = [
        f"{name} {numbers.cell(float(value))}"
        for name, value in (("value", finding.value), ("threshold", finding.threshold))
        if value is not None
    ]
    parts = (finding.where, finding.message, ", ".join(compared), finding.advice)
    return printable(f"{finding.severity}: {' | '.join(filter(None, parts))}")
