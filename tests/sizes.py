"""Sizes are a rule of the house: no file over 600 lines, no function over 80, a package at most a dozen modules."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION, MAX_MODULES = 600, 80, 12


def problems() -> list[str]:
    found = []
    for folder in ("src", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            name = path.relative_to(ROOT)
            lines = text.count("\n") + 1
            if lines > MAX_FILE:
                found.append(f"{name}: {lines} lines (at most {MAX_FILE})")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    size = (node.end_lineno or node.lineno) - node.lineno + 1
                    if size > MAX_FUNCTION:
                        found.append(f"{name}:{node.lineno}: {node.name} has {size} lines (at most {MAX_FUNCTION})")
    for package in sorted((ROOT / "src" / "shoal").rglob("__init__.py")):
        count = sum(1 for p in package.parent.glob("*.py") if p.name != "__init__.py")
        if count > MAX_MODULES and package.parent.name not in ("cli", "shoal"):
            found.append(f"{package.parent.relative_to(ROOT)}: {count} modules (at most {MAX_MODULES})")
    return found


if __name__ == "__main__":
    listed = problems()
    print("\n".join(listed) if listed else "sizes: ok")
    sys.exit(1 if listed else 0)
