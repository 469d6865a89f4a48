"""Foreign witnesses: clients that others wrote read what Rialto writes, and write what Rialto reads."""
