"""What is wrong with a corpus, before anything is trained on it."""

from quintet.audit.report import AuditReport, write_groups
from quintet.audit.run import audit

__all__ = ["audit", "AuditReport", "write_groups"]
