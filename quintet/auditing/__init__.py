"""Audit of a corpus: its faults, before a classifier is trained on it."""

from quintet.auditing.report import AuditReport, write_groups
from quintet.auditing.run import audit

__all__ = ["audit", "AuditReport", "write_groups"]
