"""A server of exported models: TensorFlow Serving's REST and gRPC, with dynamic batching.

    server.py           all of it together: start, reload, end
    rest.py, rpc.py     what a request says, and what it is answered; page.html to try it
    codec.py            JSON and protobuf tensors to arrays, and back
    protos.py           the messages of gRPC
    models.py           which models and versions there are, and when there are new ones
    reading.py          pictures and texts as what a model takes
    batching.py         requests that wait for each other
    processes.py        the processes of the workers, from the server's side
    wire.py             arrays between the server and its workers
    worker.py           a process that holds an artifact
    faults.py           why a request is refused
    metrics.py          what Prometheus reads

Data flows downwards: a request becomes arrays, waits in the queue of its model's version, is
answered by a worker together with others, and goes back.
"""
