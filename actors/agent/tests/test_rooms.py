"""Which module may import which: the job, the actor, and what both stand on."""

from __future__ import annotations

import ast
import pathlib
import sys
import unittest
from collections.abc import Iterator

import dynctl_agent

PACKAGE = pathlib.Path(dynctl_agent.__file__).parent
# What each room may import beside itself and the standard library.
MAY = {
    "job": {"common", "nats", "ray"}, "actor": {"common", "ray"}, "common": set(), "": {"job", "common"},
    "recordflags": {"dynamo"},  # it is sent as source, to read Dynamo's own parsers
}
# What the package says of itself.
TOLD = ("VERSION", "PROTOCOL", "PROTOCOL_OLDEST")
# The one module of the job that knows the actor: it sends it to the nodes.
SENDS = "job.ray_api"


def modules() -> dict[str, ast.Module]:
    """Those of the package, by name within it."""
    paths = {".".join(p.relative_to(PACKAGE).with_suffix("").parts): p for p in PACKAGE.rglob("*.py")}
    return {name.removesuffix(".__init__"): ast.parse(p.read_text("utf-8")) for name, p in paths.items()}


def imports(module: str, tree: ast.AST) -> Iterator[str]:
    """What a module imports, wherever in it, TYPE_CHECKING included: names within the package
    ("job.units"), or the first part of others. What types alone need is on no node."""
    for_types = [i for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING" for i in n.body]
    for node in ast.walk(tree):
        if node in for_types and isinstance(node, ast.ImportFrom) and node.module == "typing_extensions":
            continue
        if isinstance(node, ast.Import):
            yield from (a.name.partition(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level]
            source = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{source}.{a.name}".lstrip(".") for a in node.names)


def room(name: str) -> str:
    """The first part of a name within the package, "" at its top."""
    first, dot, _ = name.partition(".")
    return first if dot or first in MAY else ""


def wrong(module: str, tree: ast.AST) -> list[str]:
    """What a module imports and may not."""
    at_home, out = room(module), []
    for name in imports(module, tree):
        there = name.partition(".")[0] if name.partition(".")[0] in MAY else name
        allowed = {at_home, *MAY[at_home]} | ({"actor"} if module == SENDS else set())
        if there not in sys.stdlib_module_names | allowed | {*TOLD, "dynctl_agent"}:
            out.append(f"{module} imports {name}")
    return out


class Rooms(unittest.TestCase):
    def test_imports_go_one_way(self):
        found = modules()
        self.assertGreater(len(found), 50)
        self.assertEqual([line for name, tree in sorted(found.items()) for line in wrong(name, tree)], [])

    def test_a_wrong_import_is_seen(self):
        for module, text, want in (
            ("job.units", "from ..actor import procfs", ["job.units imports actor.procfs"]),
            ("job.units", "def f():\n    from ..actor.ports import find", ["job.units imports actor.ports.find"]),
            ("actor.ports", "from ..job.units import UnitView", ["actor.ports imports job.units.UnitView"]),
            ("actor.ports", "import nats", ["actor.ports imports nats"]),
            ("common.log", "from ..actor import ports", ["common.log imports actor.ports"]),
            ("common.log", "import ray.util", ["common.log imports ray"]),
            ("common.log", "from typing_extensions import Self", ["common.log imports typing_extensions"]),
            ("common.log", "if TYPE_CHECKING:\n    from typing_extensions import Self", []),
            (SENDS, "from ..actor.unit_actor import UnitActor", []),
            ("actor.ports", "import os\nfrom ..common.template import span\nfrom . import procfs", []),
        ):
            with self.subTest(text, module=module):
                self.assertEqual(wrong(module, ast.parse(text)), want)

    def test_they_go_in_no_circle(self):
        """Those for types alone too: whoever reads a module has read what it rests on."""
        found = modules()
        left = {name: {i for n in imports(name, tree) for i in (n, n.rpartition(".")[0]) if i in found} - {name} for name, tree in found.items()}
        while free := {name for name, needs in left.items() if not needs}:
            left = {name: needs - free for name, needs in left.items() if name not in free}
        self.assertEqual(left, {})

    def test_what_travels_imports_at_the_top(self):
        """On a node there is no package to import from later."""
        for name, tree in modules().items():
            if room(name) in ("actor", "common"):
                late = [n for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in ast.walk(f)]
                self.assertEqual([ast.unparse(n) for n in late if isinstance(n, ast.ImportFrom) and n.level], [], name)


if __name__ == "__main__":
    unittest.main()
