"""A legacy that accepts every record at once."""

from bench.instant_http import serve

if __name__ == "__main__":
    serve(lambda _: (b"application/json", b'{"message": "success"}'))
