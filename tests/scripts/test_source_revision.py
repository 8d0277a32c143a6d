"""cmake/SourceRevision.cmake: what the column `version` says of a build. Usage: test_source_revision.py CMAKE"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

cmake = sys.argv.pop(1)
# Without the user's own settings of git.
environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
environment |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
script = pathlib.Path(__file__).parents[2] / "cmake/SourceRevision.cmake"


class SourceRevision(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.source = self.folder / "source"
        (self.source / "lib").mkdir(parents=True)
        (self.source / "lib/a.cpp").write_text("int a;\n")

    def git(self, *arguments):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", self.source, *author, *arguments], check=True, capture_output=True, env=environment)

    def commit(self):
        self.git("init")
        self.git("add", ".")
        self.git("commit", "-m", "one")

    def version(self, source=None):
        header = self.folder / "version.h"
        subprocess.run([cmake, f"-DSOURCE={source or self.source}", "-DVERSION=1.2.3", f"-DOUTPUT={header}", "-P", script],
                       check=True, env=environment)
        return re.search('#define TPSP_VERSION "(.*)"', header.read_text()).group(1)

    def test_without_history_it_is_the_version(self):
        self.assertEqual(self.version(), "1.2.3")

    def test_the_commit_and_changes_to_the_sources_are_in_it(self):
        self.commit()
        committed = self.version()
        self.assertRegex(committed, r"^1\.2\.3\+[0-9a-f]{10}$")
        (self.source / "lib/a.cpp").write_text("int b;\n")
        changed = self.version()
        self.assertRegex(changed, "^" + re.escape(committed) + r"\.[0-9a-f]{8}$")
        (self.source / "lib/a.cpp").write_text("int c;\n")
        self.assertNotIn(self.version(), (committed, changed))
        (self.source / "lib/a.cpp").write_text("int a;\n")
        self.assertEqual(self.version(), committed)
        (self.source / "lib/b.cpp").write_text("int b;\n")
        self.assertNotEqual(self.version(), committed)

    def test_a_commit_of_results_makes_no_other_program(self):
        self.commit()
        committed = self.version()
        (self.source / "results.csv").write_text("a,b\n")
        self.assertEqual(self.version(), committed)
        self.git("add", ".")
        self.git("commit", "-m", "two")
        self.assertEqual(self.version(), committed)

    def test_a_tag_does_not_hide_the_commit(self):
        self.commit()
        self.git("tag", "-a", "v1", "-m", "v1")
        self.assertRegex(self.version(), r"^1\.2\.3\+[0-9a-f]{10}$")

    def test_another_projects_commit_is_not_taken(self):
        self.commit()
        inner = self.source / "inner"
        inner.mkdir()
        self.assertEqual(self.version(inner), "1.2.3")

    def test_the_header_is_left_alone_where_nothing_has_changed(self):
        self.commit()
        self.version()
        before = (self.folder / "version.h").stat().st_mtime_ns
        self.version()
        self.assertEqual((self.folder / "version.h").stat().st_mtime_ns, before)


unittest.main()
