CREATE TABLE datasets (
    id VARCHAR(255) PRIMARY KEY,
    name VARCHAR(500) NOT NULL,
    source VARCHAR(50) NOT NULL,
    description TEXT,
    size_bytes BIGINT NOT NULL,
    status VARCHAR(50) NOT NULL DEFAULT 'downloading',
    progress FLOAT,
    error_message TEXT,
    file_path VARCHAR(1000),
    tokenized_path VARCHAR(1000),
    num_samples INTEGER,
    num_tokens BIGINT,
    vocab_size INTEGER,
    avg_sequence_length FLOAT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT datasets_status_check CHECK (status IN
        ('downloading', 'ingesting', 'tokenizing', 'ready', 'error'))
);

CREATE INDEX idx_datasets_status ON datasets (status);
CREATE INDEX idx_datasets_created_at ON datasets (created_at DESC);
CREATE INDEX idx_datasets_source ON datasets (source);
CREATE INDEX idx_datasets_search ON datasets
    USING GIN (to_tsvector('english', name || ' ' || COALESCE(description, '')));

COMMENT ON TABLE datasets IS 'Texts that language models read: from Hugging Face, from this machine, or made by a program.';
COMMENT ON COLUMN datasets.id IS 'ds_… or a Hugging Face repository.';
COMMENT ON COLUMN datasets.name IS 'What people call it.';
COMMENT ON COLUMN datasets.source IS 'HuggingFace, Local or Custom.';
COMMENT ON COLUMN datasets.description IS 'What it is, in the words of whoever registered it.';
COMMENT ON COLUMN datasets.size_bytes IS 'Bytes of its files; 0 until they are known.';
COMMENT ON COLUMN datasets.status IS 'downloading, ingesting, tokenizing, ready or error.';
COMMENT ON COLUMN datasets.progress IS '0 to 100, of the stage that status names; 100 once ready.';
COMMENT ON COLUMN datasets.error_message IS 'Why it cannot be worked with; cleared by another attempt.';
COMMENT ON COLUMN datasets.file_path IS 'The file or directory on this machine.';
COMMENT ON COLUMN datasets.tokenized_path IS 'The directory of packed sequences, once tokenised.';
COMMENT ON COLUMN datasets.num_samples IS 'Documents: a text file is one, and so is a line of JSONL.';
COMMENT ON COLUMN datasets.num_tokens IS 'Tokens in all, padding not counted.';
COMMENT ON COLUMN datasets.vocab_size IS 'Entries of the vocabulary of the tokenizer that read it.';
COMMENT ON COLUMN datasets.avg_sequence_length IS 'Tokens a document, on average.';
COMMENT ON COLUMN datasets.created_at IS 'When it was registered.';
COMMENT ON COLUMN datasets.updated_at IS 'When the last of its events was recorded.';
