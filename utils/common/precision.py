"""In how many bits TensorFlow computes what a script asks of it."""

FLOAT32, BFLOAT16 = PRECISIONS = "float32", "bfloat16"

HELP = ("bfloat16: convolutions in 16 bits, for a CPU with AMX, which takes about half the time, "
        "with today's TensorFlow only (default: %(default)s)")
