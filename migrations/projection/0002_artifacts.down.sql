DROP TABLE projection.imports;
DROP TABLE projection.feature_words;
DROP TABLE projection.gaps;
