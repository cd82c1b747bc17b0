"""What the C library does with large blocks of memory.

A large answer is several blocks of its size, one after the other, in protobuf and in gRPC. By default glibc gives such
blocks back to the system as soon as they are free, and the system hands out each page of the next ones anew: with
1.8 MB of JSON that took nearly three quarters of a backend's time.
"""

_BLOCK_BYTES = 32 * 1024 * 1024 - 64 * 1024
"""A little less than the largest block from which glibc learns; see M_MMAP_THRESHOLD in mallopt(3)."""


def expect_large_blocks() -> None:
    """Let glibc keep freed memory for the next answer, up to 64 MiB; with another C library, nothing changes.

    It learns from each large block that is freed that more of that size will come. This one has zeros from the system,
    which nobody writes or reads, so it takes addresses but no memory.
    """
    bytes(_BLOCK_BYTES)
