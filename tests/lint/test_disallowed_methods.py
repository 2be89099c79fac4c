"""Clippy's bans are only worth something while they bite: each is broken once, on purpose."""

import os
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# One violation for each ban that a crate without dependencies can commit.
VIOLATIONS = {
    "std::time::SystemTime::now": "let _ = std::time::SystemTime::now();",
    "std::net::TcpStream::connect": 'let _ = std::net::TcpStream::connect("127.0.0.1:9");',
    "std::process::Command::new": 'let _ = std::process::Command::new("true");',
}


def clippy(directory, body):
    (directory / "src").mkdir(parents=True, exist_ok=True)
    (directory / "src" / "lib.rs").write_text(f"pub fn seeded() {{ {body} }}\n")
    (directory / "Cargo.toml").write_text(
        '[package]\nname = "seeded"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
    )
    (directory / "clippy.toml").write_text((ROOT / "clippy.toml").read_text())
    return subprocess.run(
        ["cargo", "clippy", "--offline", "--quiet", "--", "-D", "warnings"],
        cwd=directory, capture_output=True, text=True,
        env=os.environ | {"CARGO_TARGET_DIR": str(directory / "target")},
    )


def test_the_bans_are_in_force(tmp_path):
    configured = {ban["path"]: ban for ban in tomllib.loads((ROOT / "clippy.toml").read_text())["disallowed-methods"]}
    clean = clippy(tmp_path / "clean", "")
    assert clean.returncode == 0, clean.stderr
    for path, body in VIOLATIONS.items():
        outcome = clippy(tmp_path / path.replace("::", "-"), body)
        assert outcome.returncode != 0, f"{path} compiled"
        assert "disallowed" in outcome.stderr and configured[path]["reason"] in outcome.stderr


def test_every_ban_says_why():
    for ban in tomllib.loads((ROOT / "clippy.toml").read_text())["disallowed-methods"]:
        assert ban.get("reason"), ban
