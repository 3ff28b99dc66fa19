"""A module server: answers calls that a node forwards, with rows that the node gives for each call's grant.

    server.py SOCKET DATA_SOCKET

It decides nothing about rights: what it asks for under a grant is what this caller may see in this home.
"""

import os
import signal
import sys
from concurrent import futures

import grpc

import notes_pb2 as notes
import notes_pb2_grpc
from holdfast.data.v1 import data_pb2 as data
from holdfast.data.v1 import data_pb2_grpc


def of(context, name):
    """What the node says of the call."""
    return dict(context.invocation_metadata()).get(name, "")


def passing_on(handler):
    """Answers with the node's refusal, reason and all, when it refuses."""

    def answer(self, request, context):
        try:
            return handler(self, request, context)
        except grpc.RpcError as refused:
            details = [pair for pair in refused.trailing_metadata() if pair[0] == "grpc-status-details-bin"]
            context.set_trailing_metadata(details)
            context.abort(refused.code(), refused.details())

    return answer


def key(*texts):
    return data.Key(values=[data.Value(text=text) for text in texts])


class Notes(notes_pb2_grpc.NotesServicer):
    def __init__(self, rows):
        self.rows = rows

    @passing_on
    def Put(self, request, context):
        note = notes.Note(id=request.id, author=of(context, "holdfast-account"), text=request.text)
        change = data.Change(put=note.SerializeToString())
        self.rows.Commit(data.CommitRequest(grant=of(context, "holdfast-grant"), changes=[change]))
        return notes.PutReply()

    @passing_on
    def Get(self, request, context):
        asked = data.GetRequest(grant=of(context, "holdfast-grant"), key=key(request.id))
        return notes.Note.FromString(self.rows.Get(asked).row.value)

    @passing_on
    def List(self, request, context):
        asked = data.ListRequest(grant=of(context, "holdfast-grant"), cursor=request.cursor)
        page = self.rows.List(asked)
        found = [notes.Note.FromString(row.value) for row in page.rows]
        return notes.ListReply(notes=found, cursor=page.cursor)


def serve(add, socket):
    """Serves at a socket for the node alone, until it is told to stop."""
    os.umask(0o077)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    add(server)
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=2))
    print("serving", flush=True)
    server.wait_for_termination()


def main():
    _, socket, data_socket = sys.argv
    # Without the authority, the path would be sent as the host's name, which no HTTP host is.
    options = [("grpc.default_authority", "node")]
    rows = data_pb2_grpc.DataStub(grpc.insecure_channel(f"unix:{data_socket}", options))
    serve(lambda server: notes_pb2_grpc.add_NotesServicer_to_server(Notes(rows), server), socket)


if __name__ == "__main__":
    main()
