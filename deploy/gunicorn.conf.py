"""How Gunicorn serves the application: a private socket, no trust, and no words of its own.

    gunicorn -c deploy/gunicorn.conf.py

Site values come from the optional ``[server]`` table of ``<instance>/secureml.toml``
(workers, threads, bind, timeout); everything else is fixed here, because each line answers an
attack or a failure and none depends on the machine. What happens in master and workers is in
``secureml/workers/``.
"""

import gc
import os
import runpy
import sys
from pathlib import Path

# What the start imports stays: looking for garbage among it over and over is a sixth of the start.
# wsgi.py collects once, and has the collector work again before anything is served.
gc.disable()

# The master loads scikit-learn and then forks (preload_app). A maths library that has already
# started a thread pool deadlocks in the child, and workers x pool threads would fight for the
# same cores. Set this before anything imports numpy: the libraries read it once.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

wsgi_app = "wsgi:application"
# The checkout, which has wsgi.py. Where the path leads through a link to the release in use, this
# is the release itself: what is imported later must not come from the next one.
chdir = str(Path(__file__).resolve().parent.parent)
# Started in some folder, Gunicorn would import from it too.
runpy.run_path(f"{chdir}/secureml/import_path.py")["leave_working_directory"]()
if chdir not in sys.path:
    sys.path.insert(0, chdir)

_instance = Path(os.environ.get("SECUREML_INSTANCE", "instance")).absolute()
# Where the workers' counters lie: prometheus_client reads the name once, at its first import.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_instance / "run" / "metrics")

from secureml.workers import configuration, lifecycle, listening  # noqa: E402 - after the lines above

_settings = configuration.read(_instance)
_lifecycle = lifecycle.Lifecycle(_settings)
listening.word_refusals()

# --- Who may connect -------------------------------------------------------------------------
# A unix socket: nothing on the network, not even this machine's loopback, can skip Nginx.
# Under systemd's secureml.socket the listening socket is inherited and this line is ignored.
bind = _settings.bind
umask = 0o117  # the socket becomes 0660; Gunicorn uses it for nothing else that we have
# The queue of waiting connections; when it is full, Nginx is refused and clients get 502. So it is
# twice what a process of Nginx may open (worker_connections), and what forty addresses at their
# limit (limit_conn) may have waiting. It is Linux's default maximum, and the same as in
# secureml.socket.
backlog = 4096
ssl_context = listening.tls_context  # used by `secureml serve --no-nginx` alone

# --- Trusted headers: none -----------------------------------------------------------------------
# Over a unix socket Gunicorn trusts every peer, whatever forwarded_allow_ips says. Trust is
# decided only in plugins/transport, so Gunicorn's own three settings for it are empty.
secure_scheme_headers: dict[str, str] = {}  # else X-Forwarded-Proto: https changes the scheme
forwarder_headers = ""  # else a SCRIPT_NAME header moves the path past the routes' policies
header_map = "drop"  # X_Api_Key must never arrive as X-Api-Key
# Since 25.1 Gunicorn opens a command socket in the service user's home by default.
control_socket_disable = True

# --- How much one request may be --------------------------------------------------------------
limit_request_line = 4094
limit_request_fields = 100
limit_request_field_size = 8190

# --- Processes --------------------------------------------------------------------------------
workers = _settings.workers
# gthread keeps connections from Nginx open, where the sync worker closes each one; ours hands a
# request to a thread only where others would have to wait for it.
worker_class = "secureml.workers.inline_thread.InlineThreadWorker"
threads = _settings.threads
preload_app = True  # one model in memory for all workers, and a bad setting stops the start
# A heartbeat file on a slow disk can stall a worker until it is killed as dead.
_shm = "/dev/shm"  # noqa: S108 - the file there is anonymous and nothing is read from it
worker_tmp_dir = _shm if os.access(_shm, os.W_OK) else None

# --- Times, in seconds ------------------------------------------------------------------------
# `timeout` ends a worker whose main loop hangs (native code that holds the GIL). nginx.conf
# waits five seconds longer, so the client gets our answer first.
timeout = _settings.timeout
graceful_timeout = 30  # what a stopping worker may take to finish what it has begun
# Longer than Nginx keeps idle upstream connections (60 s): the side that sends must be the one
# that closes, or a request meets a closing socket and the client gets 502.
keepalive = 75
# Workers are not recycled after N requests: that hides leaks instead of showing them, and drops
# warm connections. An operator who must may set it with --max-requests and its jitter.
max_requests = 0

# --- Words ------------------------------------------------------------------------------------
errorlog = "-"
accesslog = None  # plugins/access_log writes one line per request; two would disagree

# --- The life of master and workers -----------------------------------------------------------
on_starting, when_ready = _lifecycle.on_starting, _lifecycle.when_ready
pre_exec, pre_fork, post_fork = _lifecycle.pre_exec, _lifecycle.pre_fork, _lifecycle.post_fork
post_worker_init, worker_exit = _lifecycle.post_worker_init, _lifecycle.worker_exit
child_exit = _lifecycle.child_exit
