"""What a process that decides tickets needs beside its model: threads, garbage collection, and repeated texts."""
