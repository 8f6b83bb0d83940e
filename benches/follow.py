#!/usr/bin/env python3
"""Measures the daemon: CPU at given rates, latency to /metrics, memory, idle cost, start and scrapes.

    cargo build --release && python3 benches/follow.py [--short]

Prints one JSON object a figure, with its target as "limit"; needs nothing but Python (and unshare, to refuse it inotify).
CPU times are the kernel's account of the process, so that a loaded machine changes them little; latencies it does change.
"""
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
TWDIAG = os.environ.get("TWDIAG", os.path.join(ROOT, "target/release/twdiag"))
SHORT = "--short" in sys.argv
LINE = b"2026-03-02T13:39:52.975Z INFO  http request served method=POST path=/voice status=200 bytes=1145 ms=245 id=49aabce6\n"
ERROR = b"2026-03-02T13:39:53.000Z ERROR voice-gw call failed: ConnectionError (31005): A connection error occurred\n"
TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """A twdiag that follows files in a directory of its own."""

    def __init__(self, paths, directory, prefix=()):
        self.state = tempfile.mkdtemp(dir=directory)
        command = [*prefix, TWDIAG, "--listen", "127.0.0.1:0", "--output", "none", "--state", self.state, *paths]
        start = time.monotonic()
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        while True:
            line = self.process.stderr.readline().decode()
            if not line:
                sys.exit("twdiag ended before it said where it listens")
            found = re.search(r"http://([0-9.]+):(\d+)", line)
            if found:
                break
        os.set_blocking(self.process.stderr.fileno(), False)
        self.http = http.client.HTTPConnection(found[1], int(found[2]))
        self.page()
        self.started = time.monotonic() - start

    def page(self):
        self.http.request("GET", "/metrics")
        return self.http.getresponse().read().decode()

    def count(self):
        return sum(int(n) for n in re.findall(r'twilio_errors_total\{[^}]*code="31005"[^}]*\} (\d+)', self.page()))

    def cpu(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def settle(self):
        """Waits until what is in the files has been read."""
        for _ in range(600):
            if not re.search(r"twdiag_source_lag_bytes\{[^}]*\} [1-9]", self.page()):
                return
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def say(what, measured, limit):
    print(json.dumps({"what": what, "measured": round(measured, 3), "limit": limit}), flush=True)


def rates(directory):
    seconds = 3 if SHORT else 10
    for rate, target in ((1_000, 0.3), (10_000, 1), (100_000, 6)):
        path = os.path.join(directory, f"rate-{rate}.log")
        log = open(path, "ab", buffering=0)
        daemon = Daemon([path], directory)
        daemon.settle()
        before, begin, written = daemon.cpu(), time.monotonic(), 0
        while (now := time.monotonic() - begin) < seconds:
            due = int(now * rate) - written
            if due:
                log.write(LINE * due)
                written += due
            time.sleep(0.001)
        daemon.settle()
        used = 100 * (daemon.cpu() - before) / (time.monotonic() - begin)
        say(f"CPU at {rate:,} lines a second, % of a core", used, target)
        daemon.stop()


# A namespace in which inotify is refused: what is left is the pass over all files.
REFUSED = ("unshare", "-Ur", "sh", "-c", 'echo 0 >/proc/sys/user/max_inotify_instances && exec "$@"', "sh")


def latency(directory):
    cases = (
        ("a busy file", 20, 0.002, (), 200, (2, 10)),
        ("a quiet file", 0, 0.2, (), 50, (2, 10)),
        ("a file, inotify refused", 20, 0.002, REFUSED, 50, (None, 300)),
    )
    for name, lines, pause, prefix, rounds, limits in cases:
        rounds = rounds // 5 if SHORT else rounds
        what = f"from write to /metrics, {name}"
        if prefix and not shutil.which(prefix[0]):
            print(json.dumps({"what": what, "missing": prefix[0]}), flush=True)
            continue
        path = os.path.join(directory, "latency.log")
        log = open(path, "wb", buffering=0)
        daemon = Daemon([path], directory, prefix)
        log.write(ERROR)
        while daemon.count() < 1:
            time.sleep(0.001)
        delays = []
        for _ in range(rounds):
            for _ in range(max(lines, 1)):
                if lines:
                    log.write(LINE)
                time.sleep(pause)
            counted = daemon.count()
            begin = time.monotonic()
            log.write(ERROR)
            while daemon.count() == counted and time.monotonic() - begin < 5:
                pass
            delays.append(1000 * (time.monotonic() - begin))
        for share, limit in zip((0.5, 0.99), limits):
            if limit:
                say(f"{what}, {'median' if share == 0.5 else '99 %'}, ms", percentile(delays, share), limit)
        daemon.stop()
        os.remove(path)


def files(directory):
    cases = ((10, 50, 12, None), (100, None, None, 0.1), (1_000, None, 16, None), (10_000, 500, 48, 1))
    for count, start, memory, idle in cases:
        if SHORT and count > 1_000:
            continue
        place = os.path.join(directory, f"files-{count}")
        os.mkdir(place)
        for n in range(count):
            with open(os.path.join(place, f"{n:05}.log"), "wb") as log:
                log.write(LINE)
        daemon = Daemon([os.path.join(place, "*.log")], directory)
        daemon.settle()
        if start:
            say(f"start to first scrape, {count:,} files, ms", 1000 * daemon.started, start)
        if idle:
            time.sleep(3)
            seconds, before = (3 if SHORT else 15), daemon.cpu()
            time.sleep(seconds)
            used = 100 * (daemon.cpu() - before) / seconds
            say(f"idle with {count:,} quiet files, % of a core", used, idle)
        if memory:
            say(f"memory with {count:,} files, MiB", daemon.memory(), memory)
        daemon.stop()


def scrapes(directory):
    paths = [os.path.join(directory, f"scrape-{n}.log") for n in range(10)]
    for path in paths:
        open(path, "wb").close()
    daemon = Daemon(paths, directory)

    def times(until, pause):
        delays = []
        while until(len(delays)):
            time.sleep(pause)
            begin = time.monotonic()
            daemon.page()
            delays.append(1000 * (time.monotonic() - begin))
        return percentile(delays, 0.99)

    def write():
        with open(paths[0], "ab", buffering=0) as log:
            for _ in range(64 if SHORT else 2048):
                log.write(LINE * 8192)

    # More requests a second than a hundred wait for their turn, after some two hundred at once.
    say("scrape with 10 sources, 99 %, ms", times(lambda n: n < 300, 0.02), 5)
    time.sleep(3)
    writer = threading.Thread(target=write)
    writer.start()
    say("scrape while the reader is behind, 99 %, ms", times(lambda n: n < 10 or writer.is_alive() and n < 200, 0.005), 20)
    writer.join()
    daemon.stop()


def main():
    with tempfile.TemporaryDirectory() as directory:
        rates(directory)
        latency(directory)
        files(directory)
        scrapes(directory)
    say("the binary, MiB", os.path.getsize(TWDIAG) / 2**20, 10)


main()
