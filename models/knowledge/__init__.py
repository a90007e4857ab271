"""Knowledge on disk: proposals and accepted entries, as files below `TRIAGE_HOME`."""

from models.knowledge.folder import KnowledgeFolder

__all__ = ["KnowledgeFolder"]
