/** The tables of `ctr.db`. Times are nanoseconds since 1970 kept as text where they must not lose digits. */
export const MIGRATIONS: readonly string[] = [
  `
  -- One row per image: id is "sha256:" + hex of the config blob.
  CREATE TABLE image (
    id TEXT PRIMARY KEY,
    manifest TEXT NOT NULL,          -- digest of the manifest blob in the OCI layout
    manifest_type TEXT NOT NULL,     -- its media type
    manifest_size INTEGER NOT NULL,
    config TEXT NOT NULL,            -- the image configuration, JSON
    size INTEGER NOT NULL,           -- unpacked bytes of all layers
    created_at INTEGER NOT NULL,     -- when this store got it, ms since 1970
    parent TEXT
  ) STRICT;

  -- Tags: reference is fully normalised ("docker.io/library/alpine:latest").
  CREATE TABLE tag (
    reference TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES image(id),
    tagged_at INTEGER NOT NULL
  ) STRICT;

  -- Unpacked layers, one per chain id; directory is a generated id below <root>/layers.
  CREATE TABLE layer (
    chain_id TEXT PRIMARY KEY,
    parent TEXT,
    diff_id TEXT NOT NULL,
    directory TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    blob TEXT NOT NULL,              -- digest of the layer blob as stored
    media_type TEXT NOT NULL
  ) STRICT;

  CREATE TABLE image_layer (
    image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,       -- 0 is the lowest
    chain_id TEXT NOT NULL REFERENCES layer(chain_id),
    PRIMARY KEY (image_id, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX image_layer_chain ON image_layer(chain_id);

  -- The layer blobs an image's manifest names; with its config and manifest, what of the OCI layout it needs.
  CREATE TABLE image_blob (
    image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    PRIMARY KEY (image_id, position)
  ) STRICT, WITHOUT ROWID;

  -- Containers. config and host_config are Docker's Config and HostConfig, JSON.
  CREATE TABLE container (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image_id TEXT NOT NULL,
    image TEXT NOT NULL,             -- as the user named it
    created_at TEXT NOT NULL,        -- RFC 3339 with nanoseconds
    config TEXT NOT NULL,
    host_config TEXT NOT NULL,
    layers TEXT NOT NULL,            -- chain ids of the root file system, lowest first, JSON
    state TEXT NOT NULL,             -- created running paused restarting exited removing dead
    runtime TEXT NOT NULL            -- pid, start time, supervisor, exit code, times, network: JSON, see internal/container/record.ts
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX container_image ON container(image_id);
  -- The few rows that a process answers for (see internal/container/store.ts): what a crash left is found among them.
  CREATE INDEX container_kept
    ON container(json_extract(runtime, '$.supervisorPid'), json_extract(runtime, '$.supervisorStartTime'))
    WHERE json_extract(runtime, '$.supervisorPid') > 0;

  -- Volumes; anonymous ones are removed with their container.
  CREATE TABLE volume (
    name TEXT PRIMARY KEY,
    directory TEXT NOT NULL UNIQUE,
    anonymous INTEGER NOT NULL,
    labels TEXT NOT NULL,
    created_at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE volume_use (
    volume TEXT NOT NULL REFERENCES volume(name),
    container TEXT NOT NULL,
    PRIMARY KEY (volume, container)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- What happened, see events.ts. No AUTOINCREMENT: the newest row is never deleted, so a sequence is given once.
  CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,        -- since 1970
    type TEXT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,             -- the id of the object it happened to
    attributes TEXT NOT NULL         -- JSON
  ) STRICT;
  `,
  `
  -- Under which digest a repository has an image: "docker.io/library/alpine@sha256:…", after pull and push.
  CREATE TABLE repo_digest (
    reference TEXT PRIMARY KEY,
    image_id TEXT NOT NULL REFERENCES image(id) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX repo_digest_image ON repo_digest(image_id);

  -- Which repositories ("docker.io/library/alpine") have a blob: a push to a neighbour need not send it.
  CREATE TABLE blob_origin (
    digest TEXT NOT NULL,
    repository TEXT NOT NULL,
    PRIMARY KEY (digest, repository)
  ) STRICT, WITHOUT ROWID;

  -- What the plain layer blob "source" is when it is compressed for a push, so that it need not be done again.
  CREATE TABLE compressed_blob (
    source TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- When the image was made, as its configuration says; in an index with what \`images\` shows, because behind a
  -- configuration of some kilobytes every other column is on another page.
  ALTER TABLE image ADD COLUMN created TEXT GENERATED ALWAYS AS (json_extract(config, '$.created')) VIRTUAL;
  CREATE INDEX image_listing ON image(id, created, size, parent);
  CREATE INDEX tag_image ON tag(image_id, reference);
  `,
  `
  -- Options of a volume's driver (type, o, device), JSON.
  ALTER TABLE volume ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
  `,
  `
  -- Directories of volumes whose row is gone, until they are gone too: what a kill in between leaves is found by it.
  CREATE TABLE volume_removal (directory TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  `,
  `
  -- Until there were drivers every log was in the engine's own format, whatever its container's configuration said.
  UPDATE container SET host_config =
    json_set(host_config, '$.LogConfig', json('{"Type":"local","Config":{"max-size":"0"}}'));
  `,
  `
  -- One row: the storage driver of all layers (overlay, vfs, btrfs), and of each container.
  CREATE TABLE storage (driver TEXT NOT NULL) STRICT;
  INSERT INTO storage SELECT 'overlay' WHERE EXISTS (SELECT 1 FROM layer);
  ALTER TABLE container ADD COLUMN driver TEXT NOT NULL DEFAULT 'overlay';
  `,
  `
  -- The host's ids that containers with a user namespace have; they are free again when the container is gone.
  CREATE TABLE id_range (
    container TEXT NOT NULL,
    kind TEXT NOT NULL,              -- uid gid
    start INTEGER NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (container, kind, start)
  ) STRICT, WITHOUT ROWID;
  CREATE TRIGGER id_range_end AFTER DELETE ON container BEGIN
    DELETE FROM id_range WHERE container = OLD.id;
  END;
  `,
  `
  -- What \`ps\` shows of a container besides its columns, in an index with those: see internal/container/listing.ts.
  ALTER TABLE container ADD COLUMN shown TEXT GENERATED ALWAYS AS (json_array(
    json_extract(runtime, '$.supervisorPid'), json_extract(runtime, '$.supervisorStartTime'),
    json_extract(runtime, '$.startedAt'), json_extract(runtime, '$.finishedAt'), json_extract(runtime, '$.exitCode'),
    json_extract(runtime, '$.health.Status'), json_extract(runtime, '$.endpoint.ports'),
    json_extract(config, '$.Entrypoint'), json_extract(config, '$.Cmd'), json_extract(config, '$.ExposedPorts')
  ) || '') VIRTUAL;
  CREATE INDEX container_listing ON container(created_at DESC, id, name, image_id, image, state, shown);
  `,
  `
  -- At most one row: the table that \`images\` shows, see internal/image/shown.ts. Whatever it was made from forgets it.
  CREATE TABLE image_list (
    lines TEXT NOT NULL,
    created TEXT NOT NULL            -- of each line after the first, ms since 1970, JSON
  ) STRICT;
  CREATE TRIGGER image_list_image_added AFTER INSERT ON image BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_image_changed AFTER UPDATE ON image BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_image_gone AFTER DELETE ON image BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_tag_added AFTER INSERT ON tag BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_tag_changed AFTER UPDATE ON tag BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_tag_gone AFTER DELETE ON tag BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_digest_added AFTER INSERT ON repo_digest BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_digest_changed AFTER UPDATE ON repo_digest BEGIN DELETE FROM image_list; END;
  CREATE TRIGGER image_list_digest_gone AFTER DELETE ON repo_digest BEGIN DELETE FROM image_list; END;
  `,
];
