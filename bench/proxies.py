"""Starts Sluice, nginx and HAProxy before the same upstream, each with one
worker on one core, and ends only what it started."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOAD = ROOT / "build/bench/load"
UPSTREAM = ROOT / "build/bench/upstream"
SLUICE = ROOT / "build/sluice"
PROXY_CORE, LOAD_CORE = "0", "1"
FD_LIMIT = 20000
MASTER_KEY = "bench-master-key-of-this-run-only"

SLUICE_CONFIG = """\
listen: 127.0.0.1:{port}
admin: {{master_key: {master_key}}}
store: sqlite:{store}
workers: 1
log: {{level: warn, access: false}}
limits: {{connections: 9950}}
providers:
  plain:
    kind: openai
    base_url: http://127.0.0.1:{upstream}/v1
    auth: none
    max_connections: 10000
  secure:
    kind: openai
    base_url: https://127.0.0.1:{tls}/v1
    auth: none
    ca_file: {ca}
    max_connections: 10000
    timeouts: {{connect_ms: 20000}}
prices:
  plain/bench: {{input: 0.50, output: 1.50}}
  secure/bench: {{input: 0.50, output: 1.50}}
"""

NGINX_CONFIG = """\
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log stderr error;
worker_rlimit_nofile 20000;
events {{ worker_connections 19800; }}
http {{
    access_log off;
    client_body_temp_path {dir}/nginx-body;
    proxy_temp_path {dir}/nginx-proxy;
    fastcgi_temp_path {dir}/nginx-fastcgi;
    uwsgi_temp_path {dir}/nginx-uwsgi;
    scgi_temp_path {dir}/nginx-scgi;
    client_max_body_size 64m;
    client_body_buffer_size 512k;
    keepalive_requests 1000000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    proxy_read_timeout 75s;
    proxy_ssl_trusted_certificate {ca};
    proxy_ssl_verify on;
    proxy_ssl_name 127.0.0.1;
    upstream plain {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    upstream secure {{
        server 127.0.0.1:{tls};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /v1/ {{ proxy_pass http://plain; }}
        location /secure/v1/ {{ proxy_pass https://secure/v1/; }}
    }}
}}
"""

TERMINATOR_CONFIG = """\
daemon off;
master_process off;
pid {dir}/terminator.pid;
error_log stderr error;
worker_rlimit_nofile 20000;
events {{ worker_connections 19800; }}
http {{
    access_log off;
    client_body_temp_path {dir}/terminator-body;
    proxy_temp_path {dir}/terminator-proxy;
    fastcgi_temp_path {dir}/terminator-fastcgi;
    uwsgi_temp_path {dir}/terminator-uwsgi;
    scgi_temp_path {dir}/terminator-scgi;
    client_max_body_size 64m;
    client_body_buffer_size 512k;
    keepalive_requests 1000000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_buffering off;
    proxy_read_timeout 75s;
    upstream plain {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{tls} ssl backlog=4096;
        ssl_certificate {dir}/server.pem;
        ssl_certificate_key {dir}/server.key;
        ssl_buffer_size 4k;
        location / {{ proxy_pass http://plain; }}
    }}
}}
"""

HAPROXY_CONFIG = """\
global
    maxconn 9900
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    option http-keep-alive
    option http-no-delay
    http-reuse always
frontend in
    bind 127.0.0.1:{port} backlog 4096
    use_backend secure if {{ path_beg /secure/ }}
    default_backend plain
backend plain
    server one 127.0.0.1:{upstream}
backend secure
    http-request replace-path /secure(/.*) \\1
    server one 127.0.0.1:{tls} ssl verify required ca-file {ca}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def missing_tools(with_tls):
    """Debian packages without which nothing can be compared."""
    needed = {"nginx": "nginx-light", "haproxy": "haproxy", "taskset": "util-linux"}
    if with_tls:
        needed["openssl"] = "openssl"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    return sorted(package for command, package in needed.items() if not shutil.which(command))


def scheduling():
    """The strongest way this user may keep other work off the measured processes."""
    for name, prefix in (("SCHED_RR", ["chrt", "-r", "20"]), ("nice -18", ["nice", "-n", "-18"])):
        probe = subprocess.run(prefix + ["true"], capture_output=True, check=False)
        if probe.returncode == 0 and not probe.stderr:
            return name, prefix
    return "plain scheduling", []


def make_certificates(directory):
    """A certificate authority of this run, and a server that it vouches for."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True,
                       timeout=20)

    (directory / "server.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=bench CA",
            "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *curve, "-subj", "/CN=127.0.0.1", "-keyout", "server.key",
            "-out", "server.csr")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "2", "-extfile", "server.ext", "-out", "server.pem")


class Proxy:
    """One of the three, and how to speak to it."""

    def __init__(self, name, command, port, paths, models, key="none"):
        self.name, self.command, self.port = name, command, port
        self.paths, self.models, self.key = paths, models, key
        self.process = None


class Bench:
    def __init__(self, directory, with_tls):
        self.directory = directory
        self.scheduling, self.prefix = scheduling()
        self.children = []
        self.with_tls = with_tls
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        limit = FD_LIMIT if hard == resource.RLIM_INFINITY else min(FD_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))
        self.fd_limit = max(soft, limit)
        self.upstream_port, self.tls_port = free_port(), free_port()
        if with_tls:
            make_certificates(directory)
        else:
            # The configurations name the file; nobody speaks TLS then.
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", directory / "ca.pem")
        self.start([str(UPSTREAM), str(self.upstream_port)], LOAD_CORE, self.upstream_port)
        if with_tls:
            config = self.write("terminator.conf", TERMINATOR_CONFIG, self.tls_port)
            self.start(["nginx", "-p", str(directory), "-e", "stderr", "-c", config], LOAD_CORE,
                       self.tls_port)
        self.proxies = {proxy.name: proxy for proxy in (self.sluice(), self.haproxy(), self.nginx())}

    def write(self, name, template, port):
        path = self.directory / name
        path.write_text(template.format(
            port=port, dir=self.directory, upstream=self.upstream_port, tls=self.tls_port,
            ca=self.directory / "ca.pem", store=self.directory / "sluice.db",
            master_key=MASTER_KEY))
        return str(path)

    def pinned(self, command, core):
        return ["taskset", "-c", core, *self.prefix, *command]

    def start(self, command, core, port):
        log = open(self.directory / f"{Path(command[0]).name}-{port}.log", "ab")
        child = subprocess.Popen(self.pinned(command, core), stdout=log, stderr=log,
                                 stdin=subprocess.DEVNULL)
        log.close()
        self.children.append(child)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return child
            except OSError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not run:\n{self.log_of(command, port)}")
                time.sleep(0.02)

    def log_of(self, command, port):
        return (self.directory / f"{Path(command[0]).name}-{port}.log").read_text()[-2000:]

    def stop(self, child):
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self.children.remove(child)

    def close(self):
        for child in list(self.children):
            self.stop(child)

    # The same address under the same prefix, as each of them wants it.

    def sluice(self):
        port = free_port()
        config = self.write("sluice.yaml", SLUICE_CONFIG, port)
        path = "/v1/chat/completions"
        proxy = Proxy("sluice", [str(SLUICE), "serve", "--config", config], port,
                      {"plain": path, "secure": path, "translated": "/v1/messages"},
                      {"plain": "plain/bench", "secure": "secure/bench",
                       "translated": "plain/bench"})
        child = self.start(proxy.command, PROXY_CORE, port)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/admin/keys", method="POST",
            data=json.dumps({"name": "bench", "rpm": 1_000_000_000}).encode(),
            headers={"Authorization": f"Bearer {MASTER_KEY}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            proxy.key = json.load(answer)["key"]
        self.stop(child)
        return proxy

    def nginx(self):
        port = free_port()
        config = self.write("nginx.conf", NGINX_CONFIG, port)
        return Proxy("nginx", ["nginx", "-p", str(self.directory), "-e", "stderr", "-c", config],
                     port, {"plain": "/v1/chat/completions", "secure": "/secure/v1/chat/completions"},
                     {"plain": "bench", "secure": "bench"})

    def haproxy(self):
        port = free_port()
        config = self.write("haproxy.cfg", HAPROXY_CONFIG, port)
        return Proxy("haproxy", ["haproxy", "-db", "-f", config], port,
                     {"plain": "/v1/chat/completions", "secure": "/secure/v1/chat/completions"},
                     {"plain": "bench", "secure": "bench"})

    def up(self, proxy):
        proxy.process = self.start(proxy.command, PROXY_CORE, proxy.port)

    def let_loop_preempt(self, proxy):
        """For figures of latency: Sluice's threads that write records give way to its
        event loop at once, as they do under the kernel's fair scheduling. At equal
        real-time priority a batch of rows would hold the loop up."""
        if self.scheduling != "SCHED_RR" or proxy.name != "sluice":
            return
        for task in Path(f"/proc/{proxy.process.pid}/task").iterdir():
            if (task / "comm").read_text().strip() in ("sluice-store", "sluice-tell"):
                subprocess.run(["chrt", "-r", "-p", "10", task.name], check=True)

    def down(self, proxy):
        self.stop(proxy.process)
        proxy.process = None

    def load(self, mode, proxy, kind="plain", **options):
        """Runs the generator against a proxy and returns what it measured."""
        command = self.pinned([str(LOAD), mode, "--to", f"127.0.0.1:{proxy.port}", "--key",
                               proxy.key, "--path", proxy.paths[kind], "--model",
                               proxy.models[kind]], LOAD_CORE)
        if proxy.process:
            command += ["--watch", str(proxy.process.pid)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        if mode == "first":
            command += ["--", *self.pinned(proxy.command, PROXY_CORE)]
        log = open(self.directory / "first.log", "ab") if mode == "first" else subprocess.PIPE
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, timeout=300, check=False)
        problems = (done.stderr or b"").decode(errors="replace")
        if done.returncode != 0 or not done.stdout:
            raise RuntimeError(f"{proxy.name}: {mode} failed\n{problems}")
        result = json.loads(done.stdout.decode().splitlines()[-1])
        if result.get("errors"):
            print(f"  {proxy.name}: {result['errors']} errors\n{problems}", flush=True)
        return result


def rss_bytes(pid):
    """Resident bytes of a process, shared libraries included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return None
