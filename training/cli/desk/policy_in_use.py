"""The policy in use, for verbs whose outcome the service shows: stated, or found where the service finds it."""

from __future__ import annotations

from pathlib import Path

from models.local_store import LocalModelStore, parse_reference
from training.settings import Settings
from triage.defaults import default_policy
from triage.errors import BundleNotFound
from triage.policy import Policy, read_policy


def policy_in_use(stated: Path | None) -> Policy:
    """Return the policy that is stated, that of `TRIAGE_POLICY`, or the bundle's; the default one where there is none.

    Args:
        stated: A policy file of the command line.

    Raises:
        InvalidPolicy: If it contradicts itself or cannot be read.
    """
    settings = Settings()
    chosen = stated or settings.policy
    if chosen is not None:
        return read_policy(chosen)
    bundle = settings.bundle or _served(settings)
    return read_policy(bundle / "policy.toml", of_bundle=True) if bundle is not None else default_policy()


def _served(settings: Settings) -> Path | None:
    name, alias = parse_reference(settings.model)
    try:
        return LocalModelStore(settings.home, name).resolve(alias)
    except BundleNotFound:  # a service without a model decides by the default policy as well
        return None
