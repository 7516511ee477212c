// Made by `npm run generate -w packages/client` of what the API says of itself at /openapi.json.

export interface paths {
    "/admin/cluster": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Look at the whole fleet
         * @description Every process that lives, the load of the worker tier, and what the local autoscaler made of it. Percentiles are those of all requests together, not an average of instances.
         */
        get: operations["getCluster"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/admin/cluster/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Watch the whole fleet
         * @description An event `cluster` each second, whose data is what `GET /admin/cluster` answers.
         */
        get: operations["watchCluster"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow all of your uploads
         * @description First `snapshot`, a page as `GET /uploads` has it; then `upload` for each change and `erased` for each erasure. With `Last-Event-ID` the snapshot is left out where all that happened since can be told.
         */
        get: operations["watchUploads"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Whether this instance lives
         * @description Touches nothing else, so a sick Redis restarts no instance.
         */
        get: operations["getHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/load/{ms}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Keep a core busy
         * @description For as many milliseconds, at most 10,000, in a thread of its own: to see the API tier scale. An instance does as many at once as it has cores, and answers others `rate_limited`.
         */
        get: operations["burnCpu"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Whether this instance should be given work
         * @description Checks Redis, S3 and SQS, each by a request that needs the very thing to work.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/session": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Load the session, or start one
         * @description Adds one to `views`. All instances share the session, whichever is asked.
         */
        get: operations["getSession"];
        /**
         * Label the session
         * @description The label is shown as `user`. It is a note, no proof of who somebody is.
         */
        put: operations["labelSession"];
        post?: never;
        /**
         * End the session
         * @description A copy of its cookie opens nothing from now on. Uploads stay, without anybody who could see them.
         */
        delete: operations["endSession"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/upload": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Send a file through the API
         * @description For clients that cannot send it to S3 straight: the file as it is, or as the only file of a form, with the fields `preset`, `sha256` and `metadata` before it. The body is streamed on, and limits hold while it comes.
         */
        post: operations["sendFile"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List your uploads, newest first
         * @description Who is not known has none. The next page begins after `nextCursor`.
         */
        get: operations["listUploads"];
        put?: never;
        /**
         * Announce a file and get what sends it, or have it fetched
         * @description Up to 8 MiB the transport is one signed form, above that signed parts. The bytes go straight to S3, which refuses any other size, type or name than announced here.
         *
         *     With `sourceUrl`, a worker fetches the file from a public http or https address. What is not told of it is taken from the answer: name, type and size, which is shown as 0 until then. The address is never shown again. An upload whose source is at fault ends `rejected`, one whose source could not be reached in several attempts `failed`.
         */
        post: operations["announceUpload"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Look at an upload
         * @description Somebody else's upload is as unknown as one that never was.
         */
        get: operations["getUpload"];
        put?: never;
        post?: never;
        /**
         * Erase an upload and all that was made of it
         * @description Every version of every object, and what Redis knows. The receipt tells what was erased, after a listing showed that nothing is left. Done again it erases what came late, and answers another receipt.
         */
        delete: operations["eraseUpload"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads/{id}/complete": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Make one file of the parts
         * @description Done again it changes nothing, so a client that lost the answer may repeat it.
         */
        post: operations["completeUpload"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow an upload to its end
         * @description Events are named `upload`; the data is the upload as JSON. A snapshot first, then each change; the stream ends with the upload. A client that reconnects with `Last-Event-ID` is spared what it has seen.
         */
        get: operations["watchUpload"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads/{id}/original": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Download the file itself
         * @description As it came, once it has passed inspection.
         */
        get: operations["getOriginal"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads/{id}/parts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List the parts that S3 has
         * @description What is missing is left to send: after a reload, on another device or days later.
         */
        get: operations["listParts"];
        put?: never;
        /**
         * Sign parts, more of them or again
         * @description A URL is good for an hour. A part that is sent twice counts once.
         */
        post: operations["signParts"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/uploads/{id}/variants/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Download a variant
         * @description By its name in the preset.
         */
        get: operations["getVariant"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        AnnouncedUpload: {
            /** @description ISO 8601; the upload expires if its bytes have not arrived by then */
            expiresAt: string;
            /** @description UUIDv7 */
            id: string;
            state: components["schemas"]["UploadState"];
            transport: components["schemas"]["FormTransport"] | components["schemas"]["MultipartTransport"] | components["schemas"]["ImportTransport"];
        };
        Announcement: {
            /** @description declared media type. The file type is detected from the bytes */
            contentType: string;
            /** @description shown to people; never part of a key */
            filename: string;
            metadata?: {
                [key: string]: string;
            };
            preset?: string;
            /** @description hex. The upload is rejected if the bytes have another SHA-256 */
            sha256?: string;
            /** @description bytes */
            size: number;
        };
        BurntCpu: {
            ms: number;
            servedBy: string;
        };
        ClaimedParts: {
            parts: {
                /** @description ETag header of S3's response to the part */
                etag: string;
                partNumber: number;
            }[];
        };
        Cluster: {
            /** @description ISO 8601 */
            at: string;
            /** @description newest first */
            decisions: components["schemas"]["ScalingDecision"][];
            /** @description newest first */
            history: components["schemas"]["QueueLoadPoint"][];
            instances: components["schemas"]["Instance"][];
            /** @description the last look at the queue; null: no news */
            load: components["schemas"]["QueueLoadSample"] | null;
            /** @description of tiers that the local autoscaler looks after */
            scaling: components["schemas"]["TierScaling"][];
            tiers: components["schemas"]["Tier"][];
        };
        /**
         * @description - `invalid_request` (status 400): The request does not match the schema.
         *     - `body_too_large` (status 413): The request body is larger than this route allows.
         *     - `unsupported_media_type` (status 415): This route does not accept this content type.
         *     - `unauthenticated` (status 401): The API key is unknown or missing.
         *     - `forbidden` (status 403): The API key does not have the required scope.
         *     - `cross_site` (status 403): Cross-site request refused: the page has another origin than this API.
         *     - `rate_limited` (status 429, may pass): Too many requests.
         *     - `request_timeout` (status 408, may pass): The request was sent too slowly.
         *     - `headers_too_large` (of a request whose headers are refused before any route is known): The request headers are too large.
         *     - `not_found` (of an address that no route has): No such route.
         *     - `upload_not_found` (status 404): No upload with this id.
         *     - `variant_not_found` (status 404): The upload has no variant with this name.
         *     - `preset_unknown` (status 400): No preset with this name.
         *     - `upload_too_large` (status 413): The file is larger than the limit.
         *     - `quota_exceeded` (status 413, may pass): The file exceeds the remaining quota.
         *     - `quota_exhausted_today` (status 429, may pass): Today's quota is used up.
         *     - `upload_not_ready` (status 409): The upload has not passed inspection, so nothing of it is served.
         *     - `upload_not_multipart` (status 409): The upload is not a multipart upload.
         *     - `upload_closed` (status 409): The upload was already received.
         *     - `parts_mismatch` (status 409): The parts do not match the announced file.
         *     - `idempotency_key_reused` (status 422): The Idempotency-Key was used for a different request.
         *     - `idempotency_key_in_use` (status 409, may pass): The first request with this Idempotency-Key is still running.
         *     - `tus_version_unsupported` (of tus, at `/tus/`): Unsupported tus version: send Tus-Resumable: 1.0.0.
         *     - `upload_offset_mismatch` (of tus, at `/tus/`, may pass): Upload-Offset does not match the upload's current offset.
         *     - `upload_expired` (of tus, at `/tus/`): The upload expired before all bytes arrived.
         *     - `upload_locked` (of tus, at `/tus/`, may pass): Another request is writing to this upload.
         *     - `chunk_checksum_mismatch` (of tus, at `/tus/`, may pass): The request body does not match its checksum.
         *     - `image_corrupt` (of an upload that was rejected): The image is damaged or incomplete.
         *     - `image_too_many_pixels` (of an upload that was rejected): The image has more pixels than the limit.
         *     - `image_too_large` (of an upload that was rejected): The image file is larger than the limit for images.
         *     - `size_mismatch` (of an upload that was rejected): The file's size differs from the announced size.
         *     - `checksum_mismatch` (of an upload that was rejected): The file's SHA-256 differs from the announced one.
         *     - `type_not_allowed` (of an upload that was rejected): The preset does not accept this file type.
         *     - `source_refused` (of an import that was rejected): Files are imported from public addresses only. This address is not public or does not exist.
         *     - `source_not_found` (of an import that was rejected): The source has no file at this URL.
         *     - `source_unusable` (of an import that was rejected): The source's response does not contain the file.
         *     - `source_too_slow` (of an import that was rejected): The source sent the file too slowly.
         *     - `source_unavailable` (of an import that failed, may pass): The source did not respond or closed the connection.
         *     - `processing_failed` (of an upload that failed, may pass): The file could not be processed. Processing can be retried.
         *     - `dependency_unavailable` (status 503, may pass): A required service does not respond.
         *     - `overloaded` (status 503, may pass): This instance is overloaded.
         *     - `draining` (of an instance that is shutting down, may pass): This instance is shutting down.
         *     - `conflict` (status 409, may pass): The upload is being changed by another process.
         *     - `internal` (status 500, may pass): Internal error.
         * @enum {unknown}
         */
        ErrorCode: "invalid_request" | "body_too_large" | "unsupported_media_type" | "unauthenticated" | "forbidden" | "cross_site" | "rate_limited" | "request_timeout" | "headers_too_large" | "not_found" | "upload_not_found" | "variant_not_found" | "preset_unknown" | "upload_too_large" | "quota_exceeded" | "quota_exhausted_today" | "upload_not_ready" | "upload_not_multipart" | "upload_closed" | "parts_mismatch" | "idempotency_key_reused" | "idempotency_key_in_use" | "tus_version_unsupported" | "upload_offset_mismatch" | "upload_expired" | "upload_locked" | "chunk_checksum_mismatch" | "image_corrupt" | "image_too_many_pixels" | "image_too_large" | "size_mismatch" | "checksum_mismatch" | "type_not_allowed" | "source_refused" | "source_not_found" | "source_unusable" | "source_too_slow" | "source_unavailable" | "processing_failed" | "dependency_unavailable" | "overloaded" | "draining" | "conflict" | "internal";
        FormTransport: {
            /** @description all of these form fields must come before the file */
            fields: {
                [key: string]: string;
            };
            /** @enum {string} */
            kind: "form";
            /** @description POST the form to this URL */
            url: string;
        };
        Health: {
            instance: string;
            /** @enum {string} */
            status: "ok";
            /** @description seconds since this instance started */
            uptime: number;
            version: string;
        };
        ImportRequest: {
            /** @description declared media type. The file type is detected from the bytes */
            contentType?: string;
            /** @description shown to people; never part of a key */
            filename?: string;
            metadata?: {
                [key: string]: string;
            };
            preset?: string;
            /** @description hex. The upload is rejected if the bytes have another SHA-256 */
            sha256?: string;
            /** @description bytes; the upload is rejected if the source has a different size */
            size?: number;
            /** @description http or https URL of a public host; redirects are followed */
            sourceUrl: string;
        };
        ImportTransport: {
            /**
             * @description the client sends nothing: a worker downloads the file
             * @enum {string}
             */
            kind: "import";
        };
        Instance: {
            /** @description active requests or jobs */
            busy: number;
            /** @description of one core, since the previous heartbeat */
            cpuPercent: number;
            /** @description instance name, as in log lines */
            id: string;
            /** @description in ms, of the last minute: requests of the API, jobs of workers; null: there were none. Taken from all durations together, off by 4.5 % at most */
            latencyMs: {
                p50: number;
                p95: number;
                p99: number;
            } | null;
            /** @description requests or jobs per second, over the last minute */
            perSecond: number;
            rssBytes: number;
            /** @description start time, ISO 8601 */
            since: string;
            /** @description concurrent jobs of a worker; 0 for the API */
            slots: number;
            state: "serving" | "draining";
            tier: "api" | "worker";
            version: string;
        };
        MultipartTransport: {
            /** @enum {string} */
            kind: "multipart";
            partCount: number;
            /** @description the first parts; `POST /uploads/{id}/parts` signs more */
            parts: components["schemas"]["PartUrl"][];
            /** @description bytes; the last part may be shorter */
            partSize: number;
        };
        PartsToSign: {
            partNumbers: number[];
        };
        PartUrl: {
            partNumber: number;
            /** @description PUT the bytes of the part to this URL */
            url: string;
        };
        Problem: {
            code: components["schemas"]["ErrorCode"];
            /** @description what was wrong this time */
            detail: string;
            errors?: {
                field: string;
                message: string;
            }[];
            /** @description the limit that was passed, in bytes or files */
            limit?: number;
            /** @description what is left of it */
            remaining?: number;
            /** @description finds the request in the logs */
            requestId: string;
            status: number;
            /** @description the same sentence for every problem of this kind */
            title: string;
            /** @description names the kind of problem: `urn:millrace:problem:` and the code */
            type: string;
        };
        QueueLoadPoint: {
            /** @description the end of the period, ISO 8601 */
            at: string;
            /** @description arriving work ÷ slots */
            demand: number;
            /** @description average; null if no job finished */
            jobDurationMs: number | null;
            jobsFinished: number;
            /** @description average queue load */
            load: number;
            /** @description maximum */
            oldestJobAgeMs: number;
            /** @description average number of waiting jobs and messages */
            queueDepth: number;
            /** @description average */
            slots: number;
        };
        QueueLoadSample: {
            active: number;
            /** @description ISO 8601 */
            at: string;
            /** @description queue load: jobs ÷ worker slots */
            load: number;
            /** @description messages in SQS without a job yet */
            notRelayed: number;
            /** @description of the longest waiting job */
            oldestJobAgeMs: number;
            prioritized: number;
            /** @description of all workers that are not draining */
            slots: number;
            waiting: number;
        };
        Readiness: {
            checks: {
                redis: "ok" | "failed";
                s3: "ok" | "failed";
                sqs: "ok" | "failed";
            };
            status: "ready" | "unready" | "draining";
        };
        Receipt: {
            erased: {
                /** @description object key in S3 */
                key: string;
                /** @description number of erased versions of this object */
                versions: number;
            }[];
            /** @description UUIDv7 */
            id: string;
            /** @description ISO 8601; when a listing of the bucket verified the erasure */
            verifiedAt: string;
        };
        ScalingDecision: {
            /** @description ISO 8601 */
            at: string;
            from: number;
            reason: string;
            tier: "api" | "worker";
            to: number;
        };
        SentPart: {
            /** @description ETag header of S3's response to the part */
            etag: string;
            partNumber: number;
            /** @description bytes */
            size: number;
        };
        SentParts: {
            partCount: number;
            parts: components["schemas"]["SentPart"][];
            /** @description bytes; the last part may be shorter */
            partSize: number;
        };
        Session: {
            /** @description ISO 8601 */
            createdAt: string;
            /** @description ISO 8601; moves on while the session is used */
            expiresAt: string;
            /** @description the instance that answered */
            servedBy: string;
            /** @description the label given by PUT /session */
            user: string | null;
            /** @description how often GET /session was asked with this cookie */
            views: number;
        };
        SessionLabel: {
            user: string;
        };
        SignedParts: {
            parts: components["schemas"]["PartUrl"][];
        };
        Tier: {
            busy: number;
            /** @description those that drain included */
            instances: number;
            /** @description in ms, of the last minute: requests of the API, jobs of workers; null: there were none. Taken from all durations together, off by 4.5 % at most */
            latencyMs: {
                p50: number;
                p95: number;
                p99: number;
            } | null;
            perSecond: number;
            serving: number;
            /** @description of those that serve */
            slots: number;
            tier: "api" | "worker";
        };
        TierScaling: {
            /** @description ISO 8601 */
            at: string;
            desired: number;
            inService: number;
            max: number;
            min: number;
            /** @description the reason for the last decision */
            reason: string;
            starting: number;
            tier: "api" | "worker";
        };
        Upload: {
            /** @description declared by the client; never trusted */
            contentType: string;
            /** @description ISO 8601, UTC */
            createdAt: string;
            /** @description media type detected from the bytes */
            detectedType?: string;
            error?: components["schemas"]["UploadError"];
            /** @description ISO 8601, UTC */
            expiresAt?: string;
            filename: string;
            /** @description pixels */
            height?: number;
            /** @description UUIDv7 */
            id: string;
            metadata?: {
                [key: string]: string;
            };
            /** @description thumbhash, base64 */
            placeholder?: string;
            preset: string;
            /** @description 64 hex digits */
            sha256?: string;
            /** @description bytes */
            size: number;
            state: components["schemas"]["UploadState"];
            /** @description ISO 8601, UTC */
            updatedAt: string;
            variants: components["schemas"]["Variant"][];
            /** @description pixels */
            width?: number;
        };
        UploadError: {
            code: components["schemas"]["ErrorCode"];
            message: string;
        };
        UploadPage: {
            /** @description UUIDv7 */
            nextCursor?: string;
            uploads: components["schemas"]["Upload"][];
        };
        UploadState: "awaiting" | "received" | "processing" | "ready" | "rejected" | "failed";
        Variant: {
            contentType: string;
            /** @description pixels */
            height: number;
            name: string;
            /** @description bytes */
            size: number;
            /** @description path on this origin; redirects to a signed URL */
            url: string;
            /** @description pixels */
            width: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    getCluster: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The fleet as it is now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "at": "2026-11-25T12:00:00.000Z",
                     *       "tiers": [
                     *         {
                     *           "tier": "worker",
                     *           "instances": 1,
                     *           "serving": 1,
                     *           "slots": 4,
                     *           "busy": 3,
                     *           "perSecond": 4.2,
                     *           "latencyMs": {
                     *             "p50": 12.5,
                     *             "p95": 41,
                     *             "p99": 88.2
                     *           }
                     *         },
                     *         {
                     *           "tier": "api",
                     *           "instances": 0,
                     *           "serving": 0,
                     *           "slots": 0,
                     *           "busy": 0,
                     *           "perSecond": 0,
                     *           "latencyMs": null
                     *         }
                     *       ],
                     *       "instances": [
                     *         {
                     *           "id": "worker-1",
                     *           "tier": "worker",
                     *           "state": "serving",
                     *           "since": "2026-11-25T12:00:00.000Z",
                     *           "version": "0.1.0",
                     *           "cpuPercent": 87.5,
                     *           "rssBytes": 301989888,
                     *           "slots": 4,
                     *           "busy": 3,
                     *           "perSecond": 4.2,
                     *           "latencyMs": {
                     *             "p50": 12.5,
                     *             "p95": 41,
                     *             "p99": 88.2
                     *           }
                     *         }
                     *       ],
                     *       "load": {
                     *         "at": "2026-11-25T12:00:00.000Z",
                     *         "load": 0.75,
                     *         "waiting": 0,
                     *         "prioritized": 0,
                     *         "active": 3,
                     *         "notRelayed": 0,
                     *         "slots": 4,
                     *         "oldestJobAgeMs": 0
                     *       },
                     *       "history": [
                     *         {
                     *           "at": "2026-11-25T12:00:00.000Z",
                     *           "load": 0.8,
                     *           "demand": 0.7,
                     *           "queueDepth": 0.1,
                     *           "oldestJobAgeMs": 130,
                     *           "jobsFinished": 42,
                     *           "jobDurationMs": 710,
                     *           "slots": 4
                     *         }
                     *       ],
                     *       "scaling": [
                     *         {
                     *           "tier": "worker",
                     *           "at": "2026-11-25T12:00:00.000Z",
                     *           "min": 1,
                     *           "max": 4,
                     *           "desired": 1,
                     *           "inService": 1,
                     *           "starting": 0,
                     *           "reason": "Load 0.8 is within bounds"
                     *         }
                     *       ],
                     *       "decisions": [
                     *         {
                     *           "at": "2026-11-25T12:00:00.000Z",
                     *           "tier": "worker",
                     *           "from": 2,
                     *           "to": 1,
                     *           "reason": "Load 0.12 is at most 0.4: 50 % less"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["Cluster"];
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description Cross-site request refused: the page has another origin than this API. Or: The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "cross_site" | "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    watchCluster: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Server-sent events until the client leaves. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example retry: 2000
                     *
                     *     id: 2026-11-25T12:00:00.000Z
                     *     event: cluster
                     *     data: {"at":"2026-11-25T12:00:00.000Z"}
                     */
                    "text/event-stream": string;
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description Cross-site request refused: the page has another origin than this API. Or: The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "cross_site" | "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    watchUploads: {
        parameters: {
            query?: never;
            header?: {
                /** @example 42 */
                "last-event-id"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The stream. It does not end. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example retry: 2000
                     *
                     *     id: 43
                     *     event: upload
                     *     data: {"id":"019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57","filename":"harbour.jpg","contentType":"image/jpeg","size":4182311,"preset":"default","metadata":{"album":"summer"},"createdAt":"2026-11-23T09:30:00.000Z","state":"ready","detectedType":"image/jpeg","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","width":4032,"height":3024,"placeholder":"3OcRJYB4d3h/iIeHeEh3eIhw+j2w","variants":[{"name":"thumbnail","url":"/uploads/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57/variants/thumbnail","contentType":"image/jpeg","width":200,"height":200,"size":9120}],"updatedAt":"2026-11-23T09:30:03.000Z"}
                     */
                    "text/event-stream": string;
                };
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    getHealth: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It lives. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ok",
                     *       "instance": "api-1",
                     *       "version": "0.1.0",
                     *       "uptime": 86400
                     *     }
                     */
                    "application/json": components["schemas"]["Health"];
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    burnCpu: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @example 500 */
                ms: number;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It was busy. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "ms": 500,
                     *       "servedBy": "api-1"
                     *     }
                     */
                    "application/json": components["schemas"]["BurntCpu"];
                };
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description Cross-site request refused: the page has another origin than this API. Or: The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "cross_site" | "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description It should. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "ready",
                     *       "checks": {
                     *         "redis": "ok",
                     *         "s3": "ok",
                     *         "sqs": "ok"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Readiness"];
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description Something it depends on does not answer, or it is shutting down. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "status": "unready",
                     *       "checks": {
                     *         "redis": "failed",
                     *         "s3": "ok",
                     *         "sqs": "ok"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["Readiness"];
                };
            };
        };
    };
    getSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The session. */
            200: {
                headers: {
                    /** @description the sealed cookie, where the session is new or was sealed long ago */
                    "set-cookie"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "views": 3,
                     *       "user": "ada",
                     *       "createdAt": "2026-11-20T08:00:00.000Z",
                     *       "expiresAt": "2026-12-20T08:00:00.000Z",
                     *       "servedBy": "api-1"
                     *     }
                     */
                    "application/json": components["schemas"]["Session"];
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    labelSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "user": "ada"
                 *     }
                 */
                "application/json": components["schemas"]["SessionLabel"];
            };
        };
        responses: {
            /** @description The session has the label. */
            204: {
                headers: {
                    /** @description the sealed cookie, where the session is new or was sealed long ago */
                    "set-cookie"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description The request was sent too slowly. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "request_timeout";
                        /** @constant */
                        status: 408;
                    };
                };
            };
            /** @description The request body is larger than this route allows. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "body_too_large";
                        /** @constant */
                        status: 413;
                    };
                };
            };
            /** @description This route does not accept this content type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unsupported_media_type";
                        /** @constant */
                        status: 415;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    endSession: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The session has ended. */
            204: {
                headers: {
                    /** @description takes the cookie away */
                    "set-cookie"?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    sendFile: {
        parameters: {
            query?: {
                /**
                 * @description shown to people; never part of a key
                 * @example harbour.jpg
                 */
                filename?: string;
                /**
                 * @description JSON object with string values, as in `POST /uploads`
                 * @example {"album":"summer"}
                 */
                metadata?: string;
                /** @example default */
                preset?: string;
                /**
                 * @description hex. The upload is rejected if the bytes have another SHA-256
                 * @example 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
                 */
                sha256?: string;
            };
            header?: {
                /**
                 * @description identifies this request for 24 hours: a repeated request returns the first response and creates nothing
                 * @example 8e03978e-40d5-43dd-bc93-6894a57f9324
                 */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /** @example …the bytes of the file… */
                "application/octet-stream": string;
                /**
                 * @example {
                 *       "preset": "default",
                 *       "file": "…the bytes of the file…"
                 *     }
                 */
                "multipart/form-data": {
                    /** @description the last field, and the only file */
                    file: string;
                    /** @description a JSON object of texts */
                    metadata?: string;
                    preset?: string;
                    sha256?: string;
                };
            };
        };
        responses: {
            /** @description S3 has the file; workers will take it. */
            201: {
                headers: {
                    /** @description path of the upload */
                    location?: string;
                    /** @description a session, for who came without one */
                    "set-cookie"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57",
                     *       "filename": "harbour.jpg",
                     *       "contentType": "image/jpeg",
                     *       "size": 4182311,
                     *       "preset": "default",
                     *       "metadata": {
                     *         "album": "summer"
                     *       },
                     *       "createdAt": "2026-11-23T09:30:00.000Z",
                     *       "state": "received",
                     *       "variants": [],
                     *       "updatedAt": "2026-11-23T09:30:02.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Upload"];
                };
            };
            /** @description The request does not match the schema. Or: No preset with this name. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request" | "preset_unknown";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description The request was sent too slowly. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "request_timeout";
                        /** @constant */
                        status: 408;
                    };
                };
            };
            /** @description The first request with this Idempotency-Key is still running. Or: The upload is being changed by another process. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "idempotency_key_in_use" | "conflict";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description The file is larger than the limit. Or: The file exceeds the remaining quota. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_too_large" | "quota_exceeded";
                        /** @constant */
                        status: 413;
                    };
                };
            };
            /** @description This route does not accept this content type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unsupported_media_type";
                        /** @constant */
                        status: 415;
                    };
                };
            };
            /** @description The Idempotency-Key was used for a different request. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "idempotency_key_reused";
                        /** @constant */
                        status: 422;
                    };
                };
            };
            /** @description Today's quota is used up. Or: Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "quota_exhausted_today" | "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    listUploads: {
        parameters: {
            query: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                cursor?: string;
                /** @example 50 */
                limit: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A page. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "uploads": [
                     *         {
                     *           "id": "019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57",
                     *           "filename": "harbour.jpg",
                     *           "contentType": "image/jpeg",
                     *           "size": 4182311,
                     *           "preset": "default",
                     *           "metadata": {
                     *             "album": "summer"
                     *           },
                     *           "createdAt": "2026-11-23T09:30:00.000Z",
                     *           "state": "ready",
                     *           "detectedType": "image/jpeg",
                     *           "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                     *           "width": 4032,
                     *           "height": 3024,
                     *           "placeholder": "3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
                     *           "variants": [
                     *             {
                     *               "name": "thumbnail",
                     *               "url": "/uploads/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57/variants/thumbnail",
                     *               "contentType": "image/jpeg",
                     *               "width": 200,
                     *               "height": 200,
                     *               "size": 9120
                     *             }
                     *           ],
                     *           "updatedAt": "2026-11-23T09:30:03.000Z"
                     *         }
                     *       ],
                     *       "nextCursor": "019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57"
                     *     }
                     */
                    "application/json": components["schemas"]["UploadPage"];
                };
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    announceUpload: {
        parameters: {
            query?: never;
            header?: {
                /**
                 * @description identifies this request for 24 hours: a repeated request returns the first response and creates nothing
                 * @example 8e03978e-40d5-43dd-bc93-6894a57f9324
                 */
                "idempotency-key"?: string;
                /**
                 * @description W3C Trace Context; goes with the upload to the workers
                 * @example 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
                 */
                traceparent?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Announcement"] | components["schemas"]["ImportRequest"];
            };
        };
        responses: {
            /** @description The upload awaits its bytes. */
            201: {
                headers: {
                    /** @description path of the upload */
                    location?: string;
                    /** @description a session, for who came without one */
                    "set-cookie"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AnnouncedUpload"];
                };
            };
            /** @description No preset with this name. Or: The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "preset_unknown" | "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description The request was sent too slowly. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "request_timeout";
                        /** @constant */
                        status: 408;
                    };
                };
            };
            /** @description The first request with this Idempotency-Key is still running. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "idempotency_key_in_use";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description The file is larger than the limit. Or: The file exceeds the remaining quota. Or: The request body is larger than this route allows. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_too_large" | "quota_exceeded" | "body_too_large";
                        /** @constant */
                        status: 413;
                    };
                };
            };
            /** @description This route does not accept this content type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unsupported_media_type";
                        /** @constant */
                        status: 415;
                    };
                };
            };
            /** @description The Idempotency-Key was used for a different request. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "idempotency_key_reused";
                        /** @constant */
                        status: 422;
                    };
                };
            };
            /** @description Today's quota is used up. Or: Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "quota_exhausted_today" | "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    getUpload: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The upload. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57",
                     *       "filename": "harbour.jpg",
                     *       "contentType": "image/jpeg",
                     *       "size": 4182311,
                     *       "preset": "default",
                     *       "metadata": {
                     *         "album": "summer"
                     *       },
                     *       "createdAt": "2026-11-23T09:30:00.000Z",
                     *       "state": "ready",
                     *       "detectedType": "image/jpeg",
                     *       "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                     *       "width": 4032,
                     *       "height": 3024,
                     *       "placeholder": "3OcRJYB4d3h/iIeHeEh3eIhw+j2w",
                     *       "variants": [
                     *         {
                     *           "name": "thumbnail",
                     *           "url": "/uploads/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57/variants/thumbnail",
                     *           "contentType": "image/jpeg",
                     *           "width": 200,
                     *           "height": 200,
                     *           "size": 9120
                     *         }
                     *       ],
                     *       "updatedAt": "2026-11-23T09:30:03.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Upload"];
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    eraseUpload: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The receipt. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57",
                     *       "erased": [
                     *         {
                     *           "key": "originals/s-0123456789abcdef0123456789abcdef/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57",
                     *           "versions": 1
                     *         }
                     *       ],
                     *       "verifiedAt": "2026-11-23T09:45:00.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Receipt"];
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description The upload is being changed by another process. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "conflict";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    completeUpload: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "parts": [
                 *         {
                 *           "partNumber": 1,
                 *           "etag": "6f8db599de986fab7a21625b7916589c"
                 *         },
                 *         {
                 *           "partNumber": 2,
                 *           "etag": "b1946ac92492d2347c6235b4d2611184"
                 *         }
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["ClaimedParts"];
            };
        };
        responses: {
            /** @description S3 has the file; workers will take it. */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "id": "019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57",
                     *       "filename": "harbour.jpg",
                     *       "contentType": "image/jpeg",
                     *       "size": 4182311,
                     *       "preset": "default",
                     *       "metadata": {
                     *         "album": "summer"
                     *       },
                     *       "createdAt": "2026-11-23T09:30:00.000Z",
                     *       "state": "received",
                     *       "variants": [],
                     *       "updatedAt": "2026-11-23T09:30:02.000Z"
                     *     }
                     */
                    "application/json": components["schemas"]["Upload"];
                };
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description The request was sent too slowly. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "request_timeout";
                        /** @constant */
                        status: 408;
                    };
                };
            };
            /** @description The upload is not a multipart upload. Or: The parts do not match the announced file. Or: The upload is being changed by another process. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_multipart" | "parts_mismatch" | "conflict";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description The request body is larger than this route allows. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "body_too_large";
                        /** @constant */
                        status: 413;
                    };
                };
            };
            /** @description This route does not accept this content type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unsupported_media_type";
                        /** @constant */
                        status: 415;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    watchUpload: {
        parameters: {
            query?: never;
            header?: {
                /** @example 1795512603000-4 */
                "last-event-id"?: string;
            };
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The stream. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example retry: 2000
                     *
                     *     id: 1795512603000-4
                     *     event: upload
                     *     data: {"id":"019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57","filename":"harbour.jpg","contentType":"image/jpeg","size":4182311,"preset":"default","metadata":{"album":"summer"},"createdAt":"2026-11-23T09:30:00.000Z","state":"ready","detectedType":"image/jpeg","sha256":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","width":4032,"height":3024,"placeholder":"3OcRJYB4d3h/iIeHeEh3eIhw+j2w","variants":[{"name":"thumbnail","url":"/uploads/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57/variants/thumbnail","contentType":"image/jpeg","width":200,"height":200,"size":9120}],"updatedAt":"2026-11-23T09:30:03.000Z"}
                     */
                    "text/event-stream": string;
                };
            };
            /** @description The client has seen the end: an EventSource does not come back. */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    getOriginal: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A redirect to a signed URL of S3 that lives for minutes. */
            302: {
                headers: {
                    /** @description the signed URL */
                    location?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description The upload has not passed inspection, so nothing of it is served. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_ready";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    listParts: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The parts, in order, and what they are to be. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "parts": [
                     *         {
                     *           "partNumber": 1,
                     *           "etag": "6f8db599de986fab7a21625b7916589c",
                     *           "size": 8388608
                     *         },
                     *         {
                     *           "partNumber": 2,
                     *           "etag": "b1946ac92492d2347c6235b4d2611184",
                     *           "size": 1048576
                     *         }
                     *       ],
                     *       "partSize": 8388608,
                     *       "partCount": 3
                     *     }
                     */
                    "application/json": components["schemas"]["SentParts"];
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description The upload was already received. Or: The upload is not a multipart upload. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_closed" | "upload_not_multipart";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    signParts: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "partNumbers": [
                 *         1,
                 *         2
                 *       ]
                 *     }
                 */
                "application/json": components["schemas"]["PartsToSign"];
            };
        };
        responses: {
            /** @description Where to send the parts. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "parts": [
                     *         {
                     *           "partNumber": 1,
                     *           "url": "https://bucket.s3.eu-central-1.amazonaws.com/originals/s-0123456789abcdef0123456789abcdef/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57?partNumber=1&uploadId=Zm9v&X-Amz-Signature=7d793037…"
                     *         },
                     *         {
                     *           "partNumber": 2,
                     *           "url": "https://bucket.s3.eu-central-1.amazonaws.com/originals/s-0123456789abcdef0123456789abcdef/019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57?partNumber=2&uploadId=Zm9v&X-Amz-Signature=a1d0c6e8…"
                     *         }
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["SignedParts"];
                };
            };
            /** @description The request does not match the schema. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "invalid_request";
                        /** @constant */
                        status: 400;
                    };
                };
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. Or: Cross-site request refused: the page has another origin than this API. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden" | "cross_site";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description The request was sent too slowly. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "request_timeout";
                        /** @constant */
                        status: 408;
                    };
                };
            };
            /** @description The upload was already received. Or: The upload is not a multipart upload. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_closed" | "upload_not_multipart";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description The request body is larger than this route allows. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "body_too_large";
                        /** @constant */
                        status: 413;
                    };
                };
            };
            /** @description This route does not accept this content type. */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unsupported_media_type";
                        /** @constant */
                        status: 415;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
    getVariant: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description UUIDv7
                 * @example 019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57
                 */
                id: string;
                /** @example thumbnail */
                name: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A redirect to a signed URL of S3 that lives for minutes. */
            302: {
                headers: {
                    /** @description the signed URL */
                    location?: string;
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The API key is unknown or missing. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "unauthenticated";
                        /** @constant */
                        status: 401;
                    };
                };
            };
            /** @description The API key does not have the required scope. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "forbidden";
                        /** @constant */
                        status: 403;
                    };
                };
            };
            /** @description No upload with this id. Or: The upload has no variant with this name. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_found" | "variant_not_found";
                        /** @constant */
                        status: 404;
                    };
                };
            };
            /** @description The upload has not passed inspection, so nothing of it is served. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "upload_not_ready";
                        /** @constant */
                        status: 409;
                    };
                };
            };
            /** @description Too many requests. */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "rate_limited";
                        /** @constant */
                        status: 429;
                    };
                };
            };
            /** @description Internal error. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "internal";
                        /** @constant */
                        status: 500;
                    };
                };
            };
            /** @description A required service does not respond. Or: This instance is overloaded. */
            503: {
                headers: {
                    /** @description seconds */
                    "retry-after"?: number;
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"] & {
                        /** @enum {unknown} */
                        code: "dependency_unavailable" | "overloaded";
                        /** @constant */
                        status: 503;
                    };
                };
            };
        };
    };
}
