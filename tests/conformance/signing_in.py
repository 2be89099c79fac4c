"""The scenarios in which Switchboard signs in as a client (`auth/*`), with the revision that each is of."""

BOTH = {
    "auth/metadata-default", "auth/metadata-var1", "auth/metadata-var2", "auth/metadata-var3", "auth/basic-cimd",
    "auth/scope-from-www-authenticate", "auth/scope-from-scopes-supported", "auth/scope-omitted-when-undefined",
    "auth/scope-step-up", "auth/scope-retry-limit", "auth/token-endpoint-auth-basic", "auth/token-endpoint-auth-post",
    "auth/token-endpoint-auth-none", "auth/pre-registration",
}
NEW = {
    "auth/resource-mismatch", "auth/offline-access-scope", "auth/offline-access-not-supported",
    "auth/authorization-server-migration", "auth/iss-supported", "auth/iss-not-advertised", "auth/iss-supported-missing",
    "auth/iss-wrong-issuer", "auth/iss-unexpected", "auth/iss-normalized", "auth/metadata-issuer-mismatch",
}
SCENARIOS = sorted(
    [(name, revision) for name in BOTH for revision in ("2025-11-25", "2026-07-28")]
    + [(name, "2026-07-28") for name in NEW]
    + [("auth/2025-03-26-oauth-metadata-backcompat", None), ("auth/2025-03-26-oauth-endpoint-fallback", None)]
    + [("auth/client-credentials-basic", None), ("auth/client-credentials-jwt", None)],
    key=str,
)
