"""Where jobs are kept: the folder, the journal in it, and what is saved of a damaged one."""
