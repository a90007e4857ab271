"""The bundle on disk: manifest, digests, serialisation without pickle, and the audit on loading."""
