-- What a server said of itself when its tools were approved, for whoever reviews what it says now.

ALTER TABLE connection ADD COLUMN instructions_before TEXT;
