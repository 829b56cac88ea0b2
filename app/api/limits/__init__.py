"""What bounds the work and the memory of a replica: the queue, the bytes of uploads, refusals."""
