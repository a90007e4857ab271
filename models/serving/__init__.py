"""What a process that decides tickets needs beside its model: a budget of threads, and a memory of repeated texts."""
