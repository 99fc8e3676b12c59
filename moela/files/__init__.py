"""Reading files that anybody may have written: regular files of limited size, as plain data."""
