#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a power cut takes, worked out from logs made by hand; that the store syncs what it must; and that
the way back from one is short."""
import pathlib
import sys
import tempfile
import types
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "support"))
import power  # noqa: E402
from darkroom import BUILD, Hand, Lab, main, wait_until  # noqa: E402
from plant import Plant  # noqa: E402
from wire import Wire  # noqa: E402


class Durable(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="darkroom-power-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.objects, self.log = self.path / "objects", self.path / "log"
        self.lines = []

    def put(self, name, size, made=(), synced=()):
        """As the store does it: scratch file, fsync, folders, rename, fsync of folders."""
        path, scratch = self.objects / name, self.objects / ".tmp" / name.replace("/", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        self.sync("file", f"{scratch}\t{size}")
        self.lines += [f"mkdir\t{self.objects / folder}" for folder in made]
        self.lines.append(f"move\t{path}\t{scratch}")
        for folder in synced:
            self.sync("folder", self.objects / folder)

    def sync(self, kind, what, ends=True):
        number = len(self.lines)
        self.lines.append(f"begin\t{number}\t{kind}\t{what}")
        if ends:
            self.lines.append(f"end\t{number}")

    def left(self):
        self.log.write_text("\n".join(self.lines) + "\n")
        plant = types.SimpleNamespace(objects=self.objects, stored=lambda: [
            path for path in self.objects.rglob("*") if path.is_file()])
        power.cut_objects(plant, self.log)
        return sorted(path.relative_to(self.objects).as_posix() for path in plant.stored())

    def test_what_was_synced_with_its_folders_stays(self):
        self.put("results/1/1/r", 5, made=("results", "results/1", "results/1/1"),
                 synced=("results/1/1", "results/1", "results", ""))
        self.put("results/2/1/r", 5, made=("results/2", "results/2/1"), synced=("results/2/1", "results/2", "results"))
        self.assertEqual(self.left(), ["results/1/1/r", "results/2/1/r"])

    def test_a_name_that_was_not_synced_goes(self):
        self.put("inputs/1", 5, made=("inputs",), synced=("inputs", ""))
        self.put("inputs/2", 5)
        self.assertEqual(self.left(), ["inputs/1"])

    def test_a_folder_that_was_not_synced_goes_with_all_in_it(self):
        self.put("results/1/1/r", 5, made=("results", "results/1", "results/1/1"), synced=("results/1/1", "results/1"))
        self.assertEqual(self.left(), [])
        self.assertFalse((self.objects / "results").exists())

    def test_a_sync_that_began_before_the_name_does_not_cover_it(self):
        self.put("inputs/1", 5, made=("inputs",), synced=("inputs", ""))
        self.lines.append(f"begin\tx\tfolder\t{self.objects / 'inputs'}")
        self.put("inputs/2", 5)
        self.lines.append("end\tx")
        self.assertEqual(self.left(), ["inputs/1"])

    def test_a_sync_that_did_not_end_covers_nothing(self):
        self.put("inputs/1", 5, made=("inputs",), synced=("",))
        self.sync("folder", self.objects / "inputs", ends=False)
        self.assertEqual(self.left(), [])

    def test_contents_written_after_the_sync_go(self):
        self.put("inputs/1", 5, made=("inputs",), synced=("inputs", ""))
        (self.objects / "inputs" / "1").write_bytes(bytes(9))
        self.assertEqual(self.left(), [])

    def test_the_log_is_cut_to_where_its_last_sync_began(self):
        folder = self.path / "redis" / "appendonlydir"
        folder.mkdir(parents=True)
        file = folder / "a.1.incr.aof"
        file.write_bytes(bytes(100))
        self.sync("file", f"{file}\t60")
        self.sync("file", f"{file}\t80", ends=False)
        self.log.write_text("\n".join(self.lines) + "\n")
        self.assertEqual(power.cut_log(types.SimpleNamespace(path=self.path), self.log), 40)
        self.assertEqual(file.stat().st_size, 60)


class Store(unittest.TestCase):
    def test_folders_that_somebody_else_made_and_never_synced_are_synced(self):
        """A dispatcher that was killed after its mkdir left them."""
        with tempfile.TemporaryDirectory(prefix="darkroom-sync-") as folder, Lab(dispatcher=False) as lab:
            log = pathlib.Path(folder) / "log"
            shim = BUILD / "tests" / "chaos" / "libsync_log.so"
            lab.dispatcher_start(environment={"LD_PRELOAD": str(shim), "DARKROOM_SYNC_LOG": str(log)})
            job = lab.submit().json
            result = lab.objects / "results" / job["id"] / "1" / "result.png"
            result.parent.mkdir(parents=True)
            with Hand(lab) as hand:
                hand.complete(hand.claim())
            made = [f"mkdir\t{path}" for path in (result.parent, result.parent.parent)]
            log.write_text("\n".join(made) + "\n" + log.read_text())
            _, kept, _ = power.durable(log)
            self.assertTrue({result, result.parent, result.parent.parent} <= kept, kept)


class Loading(unittest.TestCase):
    def test_a_dispatcher_serves_soon_after_redis_has_loaded_its_data(self):
        with tempfile.TemporaryDirectory(prefix="darkroom-wire-") as folder:
            wire = Wire(folder)
            self.addCleanup(wire.close)
            with Plant(dispatchers=1, notifiers=0, workers=0, redis_proxy=wire) as plant:
                answers = []

                def loading(_, command):
                    if command in ("client", "select", "auth", "hello", "info", "config", "ping"):
                        return None  # which Redis answers all the same
                    answers.append(command)
                    return b"-LOADING Redis is loading the dataset in memory\r\n"
                wire.on_reply = loading
                wire.break_all()
                wait_until(lambda: answers and plant.get("/readyz").status == 503, "a Redis that loads")
                wire.on_reply = lambda *_: None
                # Somebody may kill it again within the five seconds that it once waited.
                wait_until(lambda: plant.get("/readyz").status == 200, "ready again", deadline_s=3)


if __name__ == "__main__":
    main()
