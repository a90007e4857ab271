"""The tables of people: accounts, and the identities that they sign in with elsewhere."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from api.store.tables import Base, Utc


class StoredUser(Base):
    """A person's account; `login` is the name as it is compared, `password` an Argon2 hash or nothing."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    login: Mapped[str] = mapped_column(Text, unique=True)
    password: Mapped[str | None] = mapped_column(Text)
    roles: Mapped[str] = mapped_column(Text)
    clearance: Mapped[int] = mapped_column(Integer)
    groups: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Utc)
    disabled_at: Mapped[datetime | None] = mapped_column(Utc)


class StoredIdentity(Base):
    """Who a provider of sign-ins says that an account is: its issuer, and its own name for the person."""

    __tablename__ = "identities"

    issuer: Mapped[str] = mapped_column(String(255), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(Utc)
