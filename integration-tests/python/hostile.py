"""A module server that tries whatever it can reach, and reports what came of it.

    hostile.py SOCKET DATA_SOCKET

Each attempt is `refused` with how, or `OPEN` with what it got.
"""

import base64
import ctypes
import json
import os
import secrets
import socket
import ssl
import struct
import sys

import grpc

import vault_pb2 as vault
import vault_pb2_grpc
from holdfast.data.v1 import data_pb2 as data
from holdfast.data.v1 import data_pb2_grpc
from server import key, of, passing_on, serve

OPTIONS = [("grpc.default_authority", "node"), ("grpc.max_send_message_length", -1)]


class Refused(Exception):
    """What was tried was refused."""


def rpc(call):
    """What a call gives, or its code and reason."""
    try:
        return call()
    except grpc.RpcError as refused:
        raise Refused(f"{refused.code().name}: {refused.details()}") from refused


def grants(rows, known):
    """Grants that are not this call's."""
    tries = {"ended": known, "empty": "", "zeros": "A" * 43, "cut": known[:-1], "long": known * 100}
    tries |= {f"guessed {n}": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=") for n in range(50)}
    for name, grant in tries.items():
        yield f"grant {name}", lambda grant=grant: rpc(lambda: rows.List(data.ListRequest(grant=grant)))


def tables(rows, grant, request):
    """Tables and rows that are not this call's."""
    for entity in ["Note", "note", "Membership", "Entry", "File", "Login", "item", "../note", "Item\0", "Account"]:
        for action in ["", "get", "list", "put"]:
            table = data.Table(entity=entity, action=action)
            asked = data.ListRequest(grant=grant, table=table, secrets=True)
            yield f"table {entity!r}.{action}", lambda asked=asked: rpc(lambda: rows.List(asked))
    for action in ["purge", "delete", "*", "Item.get"]:
        asked = data.ListRequest(grant=grant, table=data.Table(action=action))
        yield f"action {action}", lambda asked=asked: rpc(lambda: rows.List(asked))
    other = data.GetRequest(grant=grant, key=key(request.other_item), secrets=True)
    yield "row of another", lambda: rpc(lambda: rows.Get(other))
    put = data.Table(action="put")
    for name, change in {
        "overwrite": data.Change(table=put, put=vault.Item(id=request.other_item, owner=of_me(), text="x").SerializeToString()),
        "take over": data.Change(table=put, insert=vault.Item(id=request.other_item, owner=of_me()).SerializeToString()),
        "delete": data.Change(table=put, delete=key(request.other_item)),
        "in another's name": data.Change(table=put, put=vault.Item(id="new", owner="ab" * 16).SerializeToString()),
        "not a row": data.Change(table=put, put=b"\xff" * 64),
        "a rule": data.Change(table=data.Table(action="rule"), put=vault.Item(id="new", owner=of_me()).SerializeToString()),
        "too large": data.Change(table=put, put=vault.Item(id="big", owner=of_me(), text="x" * 40_000).SerializeToString()),
    }.items():
        commit = data.CommitRequest(grant=grant, changes=[change])
        yield f"change {name}", lambda commit=commit: rpc(lambda: rows.Commit(commit))


ME = ""


def of_me():
    return ME


def excess(rows, grant):
    """More than is taken."""
    item = vault.Item(id="many", owner=of_me()).SerializeToString()
    many = [data.Change(table=data.Table(action="put"), put=item)] * 5_000
    yield "5,000 changes", lambda: rpc(lambda: rows.Commit(data.CommitRequest(grant=grant, changes=many)))
    huge = data.CommitRequest(grant=grant, changes=[data.Change(put=b"x" * (5 << 20))])
    yield "5 MiB", lambda: rpc(lambda: rows.Commit(huge))
    yield "a long cursor", lambda: rpc(lambda: rows.List(data.ListRequest(grant=grant, cursor=b"x" * 100_000)))
    wide = data.Key(values=[data.Value(text="x" * 600)] * 1_000)
    yield "a wide key", lambda: rpc(lambda: rows.Get(data.GetRequest(grant=grant, key=wide)))


def elsewhere(channel, grant):
    """Services that its socket does not serve, or not to it."""
    paths = [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/example.notes.v1.Notes/List",
        "/tests.vault.v1.Vault/Put",
        "/holdfast.files.v1.Files/List",
        "/holdfast.module.v1.Capabilities/Get",
        "/holdfast.node.v1.Node/Status",
        "/holdfast.data.v1.Data/Drop",
        "/Holdfast.Data.v1.Data/Get",
    ]
    for path in paths:
        method = channel.unary_unary(path)
        yield path, lambda method=method: rpc(lambda: method(b"", metadata=[("holdfast-grant", grant)], timeout=5))


def machine(request):
    """The machine: files, memory, signals, sockets."""
    folder, pid = request.node_folder, request.node_pid

    def read(path):
        with open(path, "rb") as file:
            return file.read(1 << 20)

    yield "the node's folder", lambda: os.listdir(folder)
    for name in ["folder.toml", "state/db", "raft", "map"]:
        yield f"the node's {name}", lambda name=name: read(os.path.join(folder, name))
    for name in ["mem", "environ", "maps", "fd/0", "io"]:
        yield f"the node's /proc {name}", lambda name=name: read(f"/proc/{pid}/{name}")
    yield "the node's descriptors", lambda: os.listdir(f"/proc/{pid}/fd")

    libc = ctypes.CDLL(None, use_errno=True)

    def ptrace():
        attach = 16
        if libc.ptrace(attach, pid, None, None) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return "attached"

    yield "ptrace", ptrace
    yield "a signal", lambda: os.kill(pid, 0) or "delivered"
    yield "another user", lambda: os.setuid(0) or os.getuid()

    def connect(path):
        with socket.socket(socket.AF_UNIX) as to:
            to.connect(path)
            return "connected"

    yield "the other module's socket", lambda: connect(request.other_socket)
    yield "the other module's rows", lambda: connect(request.other_data_socket)
    yield "the other module's folder", lambda: os.listdir(os.path.dirname(request.other_socket))
    yield "its socket replaced", lambda: os.unlink(request.other_data_socket) or "removed"


def network(request, grant):
    """The ports of the cluster, without an identity."""
    for name, port, path in [
        ("registry", request.registry_port, "/holdfast.registry.v1.Directory/Watch"),
        ("registry", request.registry_port, "/holdfast.registry.v1.Operators/Status"),
        ("registry", request.registry_port, "/holdfast.registry.v1.Custody/Wraps"),
        ("node", request.node_port, "/tests.vault.v1.Vault/Put"),
        ("node", request.node_port, "/example.notes.v1.Notes/List"),
        ("node", request.node_port, "/holdfast.data.v1.Data/List"),
        ("node", request.node_port, "/holdfast.files.v1.Files/List"),
        ("node", request.node_port, "/holdfast.node.v1.Node/Status"),
    ]:
        yield f"{name} {path}", lambda port=port, path=path: over_tls(port, path, grant)


def over_tls(port, path, grant):
    """A call over HTTP/2 to whoever listens there, by hand: only an answer with a message counts."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, context.wrap_socket(plain) as tls:
        headers = {
            ":method": "POST", ":scheme": "https", ":path": path, ":authority": "node",
            "content-type": "application/grpc", "te": "trailers", "holdfast-grant": grant,
        }
        # RFC 7541, 6.2.2: literal fields without indexing, their names and values not coded.
        fields = b"".join(b"\0" + text(name) + text(value) for name, value in headers.items())
        # A request with a route and nothing in it.
        message = b"\0\0\0\0\2\x0a\0"
        tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, fields) + frame(0, 1, 1, message))
        tls.settimeout(5)
        answered = False
        while True:
            head = exactly(tls, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream, body = int.from_bytes(head[5:], "big"), exactly(tls, length)
            if kind == 0 and stream == 1 and body:
                return body
            answered = answered or (kind == 1 and stream == 1)
            if stream == 1 and flags & 1:
                raise Refused("an answer without a message")
            if kind in (3, 7):
                raise Refused(f"frame {kind}: {body.hex()}")


def text(value):
    raw = value.encode()
    assert len(raw) < 127
    return bytes([len(raw)]) + raw


def frame(kind, flags, stream, body):
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def exactly(tls, length):
    got = b""
    while len(got) < length:
        piece = tls.recv(length - len(got))
        if not piece:
            raise Refused("the connection ends")
        got += piece
    return got


def attempt(report, name, action):
    try:
        got = action()
    except (Refused, OSError) as refused:
        report[name] = f"refused: {type(refused).__name__}: {refused}"
    else:
        report[name] = f"OPEN: {got!r}"


class Vault(vault_pb2_grpc.VaultServicer):
    def __init__(self, channel):
        self.channel, self.rows = channel, data_pb2_grpc.DataStub(channel)
        self.known = "A" * 43

    @passing_on
    def Put(self, request, context):
        self.known = of(context, "holdfast-grant")
        item = vault.Item(id=request.id, owner=of(context, "holdfast-account"), text=request.text)
        change = data.Change(put=item.SerializeToString())
        self.rows.Commit(data.CommitRequest(grant=self.known, changes=[change]))
        return vault.PutReply()

    @passing_on
    def Attack(self, request, context):
        global ME
        ME = of(context, "holdfast-account")
        grant, report = of(context, "holdfast-grant"), {}
        for attempts in [
            grants(self.rows, self.known),
            tables(self.rows, grant, request),
            excess(self.rows, grant),
            elsewhere(self.channel, grant),
            machine(request),
            network(request, grant),
        ]:
            for name, action in attempts:
                attempt(report, name, action)
        # What is its to see: everything of this caller, and nothing else.
        rows = self.rows.List(data.ListRequest(grant=grant, secrets=True)).rows
        report["own"] = [vault.Item.FromString(row.value).text for row in rows]
        report["metadata"] = {pair.key: str(pair.value) for pair in context.invocation_metadata()}
        return vault.AttackReply(report=json.dumps(report))


def main():
    _, own, data_socket = sys.argv
    channel = grpc.insecure_channel(f"unix:{data_socket}", OPTIONS)
    serve(lambda server: vault_pb2_grpc.add_VaultServicer_to_server(Vault(channel), server), own)


if __name__ == "__main__":
    main()
