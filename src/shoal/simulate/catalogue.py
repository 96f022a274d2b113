"""Fixed texts of the simulated service: event types, words of the code columns, user agents, file kinds, mail domains.

All constants. Host names end in reserved top-level domains (RFC 2606, RFC 6761); user agents have the shapes that
browsers and clients send. Nothing here tells an attack from honest life.
"""

from __future__ import annotations

from dataclasses import dataclass

TYPES = (
    "login.failed", "login.succeeded", "challenge.issued", "challenge.passed", "challenge.failed",
    "session.started", "session.used", "account.created", "password.changed", "password.reset", "email.changed",
    "mfa.enrolled", "mfa.removed", "app.authorized", "file.uploaded", "file.modified", "file.downloaded",
    "file.renamed", "file.deleted", "folder.shared", "invite.sent", "link.created", "link.visited",
    "link.downloaded", "abuse.reported",
    "invite.accepted", "app.revoked", "link.stopped", "file.removed", "abuse.resolved",
    "payment.added", "phone.verified", "recovery.changed",
)  # fmt: skip
REACTION_TYPES = ("action.applied",)
"""Made by the world that reacts only (`simulate.react`)."""
TYPE = {name: code for code, name in enumerate((*TYPES, *REACTION_TYPES))}
ACTIONS = (
    "step_up", "challenge", "revoke_sessions", "revoke_credential", "rate_limit", "stop_link", "stop_sharing",
    "quarantine_file", "read_only", "suspend", "notify_owner", "revert_contact", "revert_mfa", "revoke_apps",
    "restore_files", "review", "watch",
)  # fmt: skip
"""Enforcement that the world knows; what each does stands in `react.semantics`."""

WORDS: dict[str, tuple[str, ...]] = {
    "method": (
        "password", "sso", "passkey", "token", "totp", "push", "email_code", "email", "google", "invite",
    ),
    "reason": (
        "bad_password", "unknown_account", "challenge_failed", "challenge_abandoned",
        "phishing", "malware", "spam", "copyright", "other", "denied", "unavailable",
    ),
    "outcome": ("success", "failure", "upheld", "rejected"),
    "client": ("web", "desktop", "mobile", "api"),
    "permission": (
        "view", "edit", "public", "password", "organisation", "files.read", "files.write", "offline",
    ),
    "referrer": (
        "https://mail.example/", "https://chat.example/", "https://search.example/", "https://forum.example/",
        "https://social.example/", "https://news.example/", "https://wiki.example/",
    ),
    "cause": ("shoal",),
    "operation": ACTIONS,
    "app": tuple(f"app-{name}" for name in (
        "calendar", "notes", "scanner", "signer", "backup", "photos", "crm", "mailer", "tasks", "studio", "reader",
        "sheets", "forms", "archive", "bridge", "planner", "player", "translate", "invoice", "timesheet",
        # from here on those that few people use (`NICHE_APPS`)
        "pdfmerge", "duplicates", "whiteboard", "thumbnails", "converter", "journal", "receipts", "portfolio",
        "storyboard", "captions", "mindmap", "albums", "watermark", "resizer", "transcribe", "kanban", "gradebook",
        "choir", "genealogy", "allotment", "logbook", "minutes", "rota", "quotes", "labels", "maps", "surveys",
        "badges", "ledger", "stickers",
        "vault", "inbox", "summary", "lookup", "folderview", "quicksign", "cleanup", "mailmerge", "unzip", "compare",
        "cvmaker", "filefax", "docview", "speedup", "driveplus", "smartscan", "teamspace", "safelink", "autofill",
        "pagecount",
    )),
}  # fmt: skip
CODE: dict[str, dict[str, int]] = {column: {w: i for i, w in enumerate(words)} for column, words in WORDS.items()}

POPULAR_APPS = 20
"""Applications before this code are those that most people choose from."""
NICHE_APPS = tuple(range(POPULAR_APPS, len(WORDS["app"])))
"""Those that few people use; which of them are malicious differs from world to world."""
BACKUP_APP = CODE["app"]["app-backup"]

NETWORK_KINDS = ("home", "mobile", "office", "vpn", "hosting")

LINK_HOST = "share.simulated.example"


@dataclass(frozen=True)
class Client:
    """A family of clients: how it names itself, `{v}` its version."""

    agent: str
    client: str  # word of the column `client`
    phone: bool
    weight: float
    version: int


_MOZ = "Mozilla/5.0 "
_MAC = "(Macintosh; Intel Mac OS X 10_15_7)"
_KIT = " AppleWebKit/537.36 (KHTML, like Gecko) "
CLIENTS = (
    Client(_MOZ + "(Windows NT 10.0; Win64; x64)" + _KIT + "Chrome/{v}.0.0.0 Safari/537.36", "web", False, 24, 130),
    Client(_MOZ + _MAC + _KIT + "Chrome/{v}.0.0.0 Safari/537.36", "web", False, 9, 130),
    Client(_MOZ + "(X11; Linux x86_64)" + _KIT + "Chrome/{v}.0.0.0 Safari/537.36", "web", False, 2, 130),
    Client(
        _MOZ + "(Windows NT 10.0; Win64; x64)" + _KIT + "Chrome/{v}.0.0.0 Safari/537.36 Edg/{v}.0.0.0",
        "web", False, 9, 130,
    ),
    Client(_MOZ + "(Windows NT 10.0; Win64; x64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0", "web", False, 5, 131),
    Client(_MOZ + "(X11; Ubuntu; Linux x86_64; rv:{v}.0) Gecko/20100101 Firefox/{v}.0", "web", False, 2, 131),
    Client(_MOZ + "(Macintosh; Intel Mac OS X 10.15; rv:{v}.0) Gecko/20100101 Firefox/{v}.0", "web", False, 2, 131),
    Client(
        _MOZ + _MAC + " AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.{v} Safari/605.1.15",
        "web", False, 8, 0,
    ),
    Client("ShoalboxDesktop/{v}.4 (Windows 10.0.22631; x64)", "desktop", False, 9, 200),
    Client("ShoalboxDesktop/{v}.4 (macOS 14.6; arm64)", "desktop", False, 5, 200),
    Client(
        _MOZ + "(iPhone; CPU iPhone OS 18_{v} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
        " Version/18.{v} Mobile/15E148 Safari/604.1",
        "web", True, 6, 0,
    ),
    Client(_MOZ + "(Linux; Android 10; K)" + _KIT + "Chrome/{v}.0.0.0 Mobile Safari/537.36", "web", True, 7, 130),
    Client("Shoalbox/{v}.2 (iPhone; iOS 18.1; Scale/3.00)", "mobile", True, 8, 400),
    Client("Shoalbox/{v}.2 (Android 14; Pixel 8)", "mobile", True, 5, 400),
    Client("Shoalbox/{v}.2 (Android 13; SM-A546B)", "mobile", True, 5, 400),
    Client("python-requests/2.{v}.0", "api", False, 0.6, 28),
    Client("rclone/v1.{v}.0", "api", False, 0.8, 62),
)  # fmt: skip
VERSIONS = 6
"""How many successive versions of each client are about; a version lasts four weeks."""
SCRIPT_CLIENT = 15

EXTENSIONS: tuple[tuple[str, float, float, float], ...] = (
    # extension, weight, median bytes, sigma of its logarithm
    ("pdf", 14, 4e5, 1.3), ("docx", 11, 6e4, 1.0), ("xlsx", 9, 4e4, 1.1), ("pptx", 5, 2e6, 1.0),
    ("jpg", 24, 2.4e6, 0.7), ("png", 7, 5e5, 1.2), ("heic", 6, 1.8e6, 0.5), ("mp4", 5, 4e7, 1.4),
    ("mov", 2, 8e7, 1.2), ("mp3", 2, 5e6, 0.6), ("zip", 4, 1.2e7, 1.8), ("txt", 4, 4e3, 1.5),
    ("csv", 3, 6e4, 1.8), ("md", 1.5, 5e3, 1.0), ("html", 1, 2e4, 1.2), ("exe", 0.7, 3e7, 1.3), ("iso", 0.1, 9e8, 0.8),
    ("js", 0.7, 1e4, 1.2), ("psd", 0.5, 5e7, 1.0), ("docm", 0.2, 9e4, 0.8),
)  # fmt: skip
EXT = {row[0]: code for code, row in enumerate(EXTENSIONS)}

ENTROPY: dict[str, tuple[float, float]] = {
    # bits a byte of ordinary contents: mean, spread. Compressed formats lie near 8, text near 4.5
    "pdf": (7.6, 0.3), "docx": (7.75, 0.15), "xlsx": (7.7, 0.2), "pptx": (7.85, 0.1), "jpg": (7.9, 0.07),
    "png": (7.9, 0.08), "heic": (7.95, 0.04), "mp4": (7.96, 0.03), "mov": (7.95, 0.04), "mp3": (7.9, 0.06),
    "zip": (7.98, 0.02), "txt": (4.6, 0.4), "csv": (4.2, 0.5), "md": (4.7, 0.3), "html": (5.0, 0.3), "exe": (6.4, 0.4),
    "iso": (7.0, 0.7), "js": (5.1, 0.3), "psd": (6.5, 0.7), "docm": (7.6, 0.2),
}  # fmt: skip

STEMS = tuple(
    f"{a}{b}"
    for a in (
        "report", "invoice", "IMG_", "scan", "notes", "budget", "contract", "photo", "draft", "minutes", "plan",
        "letter", "offer", "homework", "recipe", "tickets", "statement", "slides", "backup", "setup", "video", "song",
        "thesis", "form", "payroll", "list", "design", "logo", "manual", "agenda", "DSC", "clip",
    )
    for b in (
        "", "_2024", "_final", " (1)", "-v2", "_signed", "_copy", "0147", "2231", "0853", "_old", "_new", "-march",
        "-april", "_team", "_family",
    )
)  # fmt: skip

MAIL_DOMAINS = tuple(f"{name}.example" for name in ("post", "mailbox", "webmail", "inbox", "letterbox", "quickmail"))
MAIL_WEIGHTS = (40.0, 25.0, 15.0, 10.0, 6.0, 4.0)
