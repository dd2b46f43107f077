CREATE TABLE extraction_templates (
    id VARCHAR(255) PRIMARY KEY,
    name VARCHAR(500) NOT NULL,
    description TEXT,
    layers INTEGER[] NOT NULL,
    hook_types VARCHAR(50)[] NOT NULL,
    max_samples INTEGER,
    top_k_examples INTEGER NOT NULL DEFAULT 100,
    is_favorite BOOLEAN DEFAULT FALSE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_extraction_templates_is_favorite ON extraction_templates (is_favorite)
    WHERE is_favorite = TRUE;
CREATE INDEX idx_extraction_templates_created_at ON extraction_templates (created_at DESC);

COMMENT ON TABLE extraction_templates IS 'Ways to extract features that are kept for another time.';
COMMENT ON COLUMN extraction_templates.id IS 'ext_tmpl_…';
COMMENT ON COLUMN extraction_templates.name IS 'What people call it.';
COMMENT ON COLUMN extraction_templates.description IS 'What it is for.';
COMMENT ON COLUMN extraction_templates.layers IS 'Layers of the language model, counted from 0.';
COMMENT ON COLUMN extraction_templates.hook_types IS 'residual, mlp, attention.';
COMMENT ON COLUMN extraction_templates.max_samples IS 'Documents to read; NULL: all.';
COMMENT ON COLUMN extraction_templates.top_k_examples IS 'Strongest examples kept for each feature.';
COMMENT ON COLUMN extraction_templates.is_favorite IS 'Marked by a person.';
COMMENT ON COLUMN extraction_templates.created_at IS 'When it was made.';
COMMENT ON COLUMN extraction_templates.updated_at IS 'When the last of its events was recorded.';
