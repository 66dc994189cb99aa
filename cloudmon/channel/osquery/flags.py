"""What osqueryd is started with on a host, so that it speaks to this monitor. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

FOLDER = "/etc/osquery"


def text(set_name: str, url: str, *, own_ca: bool) -> str:
    """The flags file.

    Arguments:
        set_name: of the set that the host belongs to, for what it says to people.
        url: where the channel is.
        own_ca: whether its certificate is of the monitor's own authority, which the host must be given then.
    """
    lines = [
        f"# osqueryd --flagfile={FOLDER}/cloudmon.flags",
        f"# {FOLDER}/cloudmon.secret: what `cloudmon agent token {set_name}/N` prints, for its owner alone (mode 0600)",
    ]
    if own_ca:
        lines.append(f"# {FOLDER}/cloudmon.pem: what `cloudmon template osquery {set_name} --ca` prints")
    lines.append(f"--tls_hostname={urlsplit(url).netloc}")
    if own_ca:
        lines.append(f"--tls_server_certs={FOLDER}/cloudmon.pem")
    lines += [
        f"--enroll_secret_path={FOLDER}/cloudmon.secret",
        "--enroll_tls_endpoint=/osquery/v1/enroll",
        "--host_identifier=instance",
        "--config_plugin=tls",
        "--config_tls_endpoint=/osquery/v1/config",
        "--config_refresh=60",
        "--logger_plugin=tls",
        "--logger_tls_endpoint=/osquery/v1/log",
        "--logger_tls_compress=true",
        "--logger_min_status=2",
        "--disable_distributed=false",
        "--distributed_plugin=tls",
        "--distributed_interval=10",
        "--distributed_tls_read_endpoint=/osquery/v1/distributed/read",
        "--distributed_tls_write_endpoint=/osquery/v1/distributed/write",
    ]
    return "\n".join(lines) + "\n"
