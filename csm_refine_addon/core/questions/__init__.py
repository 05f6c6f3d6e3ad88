"""Looking sessions up: questions in the journal, and their answers."""
