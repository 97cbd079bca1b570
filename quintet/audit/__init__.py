"""Audit of a corpus: its faults, before a classifier is trained on it."""

from quintet.audit.report import AuditReport, write_groups
from quintet.audit.run import audit

__all__ = ["audit", "AuditReport", "write_groups"]
