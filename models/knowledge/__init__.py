"""Knowledge on disk: proposals and accepted entries, as files below `TRIAGE_HOME`."""

from models.knowledge.folder import Contents, ForgottenKnowledge, KnowledgeFolder

__all__ = ["Contents", "ForgottenKnowledge", "KnowledgeFolder"]
