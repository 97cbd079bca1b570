"""What is wrong with a corpus, before anything is trained on it."""

from quintet.audit.audit import audit
from quintet.audit.report import AuditReport, write_groups

__all__ = ["audit", "AuditReport", "write_groups"]
