"""A server of exported models: TensorFlow Serving's REST and gRPC, with dynamic batching.

    rest.py, rpc.py     what a request says, and what it is answered
    repository.py       which models and versions there are, and when there are new ones
    batching.py         requests that wait for each other, and the workers that answer them
    worker.py           a process that holds an artifact
    codec.py            JSON and protobuf tensors to arrays, and back
    server.py           all of it together: start, reload, end

Data flows downwards: a request becomes arrays, waits in the queue of its model's version, is
answered by a worker together with others, and goes back.
"""
