"""Pages whose examples are run: blocks of commands, each followed by lines that they print."""
import re
import subprocess
import sys

BLOCK = re.compile(r"^```(sh|python|text)\n(.*?)^```$", re.S | re.M)


def steps(page):
    """[(kind, commands, lines that their output has)]"""
    found = []
    for kind, text in BLOCK.findall(page.read_text()):
        if kind == "text":
            found[-1][2].extend(text.splitlines())
        else:
            found.append((kind, text, []))
    assert len(found) >= 3, page
    return found


def run(kind, commands, lines, environment, directory, edit=lambda text: text):
    """Runs one step as it stands, but for what `edit` replaces."""
    shell = [sys.executable, "-c"] if kind == "python" else ["bash", "-e", "-c"]
    done = subprocess.run(shell + [edit(commands)], env=environment, timeout=180, cwd=directory,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, (commands, done.stdout, done.stderr)
    assert lines, "nothing is said of what this prints: %s" % commands
    for line in lines:
        assert line in done.stdout, (commands, line, done.stdout)
