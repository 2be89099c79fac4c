"""What the Python tests share: processes, the product under test, real servers, real clients."""
