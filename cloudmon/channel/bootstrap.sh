#!/bin/sh
# Brings cloudmon's agent into this machine and starts it. CLOUDMON_ROOT: the machine is that directory.
set -eu
umask 077
root="${CLOUDMON_ROOT:-}"
dir="$root/var/lib/cloudmon-agent"
mkdir -p "$dir"
printf '%s' '@TOKEN@' >"$dir/token"
cat >"$dir/fetch.py" <<'PYTHON'
"""Fetches the agent over a connection whose authority the token names; any other is refused."""
import base64, hashlib, os, ssl, sys, time, urllib.request

url, directory = sys.argv[1], sys.argv[2]
with open(os.path.join(directory, "token")) as file:
    wanted = file.read().split(".")[1]
context = ssl.create_default_context()


def get(path, trust):
    with urllib.request.urlopen(url + "/channel/v1/" + path, timeout=20, context=trust) as answer:
        return answer.read(1 << 20)


def fetch():
    if wanted != "-":
        blind = ssl.create_default_context()
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        found = get("ca.pem", blind).decode("ascii")
        digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(found)).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != wanted:
            raise SystemExit("the monitor shows another certificate authority than the token names")
        context.load_verify_locations(cadata=found)
    return get("agent.pyz", context)


for attempt in range(40):
    try:
        body = fetch()
        break
    except OSError as error:
        print("the agent could not be fetched:", error, file=sys.stderr, flush=True)
        time.sleep(min(30, 2 ** min(attempt, 5)))
else:
    raise SystemExit("the agent could not be fetched; given up until the next boot")
path = os.path.join(directory, "agent.pyz")
with open(path + ".new", "wb") as file:
    file.write(body)
os.replace(path + ".new", path)
PYTHON
under=""
[ -z "$root" ] || under="--root \"$root\""
cat >"$dir/start.sh" <<EOF
#!/bin/sh
cd /
[ -s "$dir/agent.pyz" ] || python3 "$dir/fetch.py" '@URL@' "$dir" || exit 1
exec python3 "$dir/agent.pyz" --enrol-file "$dir/token" --url '@URL@' --interval @INTERVAL@ --state "$dir" $under
EOF
chmod 700 "$dir/start.sh"
if [ -z "$root" ] && [ -d /run/systemd/system ]; then
  cat >/etc/systemd/system/cloudmon-agent.service <<EOF
[Unit]
Description=cloudmon agent
After=network-online.target
Wants=network-online.target
[Service]
ExecStart=$dir/start.sh
Restart=always
RestartSec=10
# What the agent has started goes on while it is itself restarted.
KillMode=process
[Install]
WantedBy=multi-user.target
EOF
  systemctl daemon-reload
  systemctl enable --now cloudmon-agent.service
else
  # Ends only when it is told to: one that fell is started again.
  nohup sh -c 'until "$0"; do sleep 10; done' "$dir/start.sh" >>"$dir/agent.log" 2>&1 </dev/null &
fi
