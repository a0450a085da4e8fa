package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	persistencesql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/common/searchattribute/sadefs"
)

// Temporal's schema has an index for whatever workflows may be listed by: 58 of them,
// each of which every start, upsert and end of a workflow writes to. Most are over
// columns that are always empty here. Without them such a write takes a third of the
// time, and the file a fifth of the room; a listing by such a column reads more rows.
//
// Those below go, and those over columns for custom search attributes unless the column
// is taken. What is listed by often keeps its own: time, type, ID and status of a
// workflow.
var unusedIndexes = []string{
	"by_history_length", "by_history_size_bytes", "by_execution_duration", "by_state_transition_count",
	"by_task_queue", "by_parent_workflow_id", "by_parent_run_id", "by_root_workflow_id", "by_root_run_id",

	"by_batcher_user", "by_temporal_scheduled_start_time", "by_temporal_scheduled_by_id", "by_temporal_schedule_paused",
	"by_temporal_namespace_division", "by_temporal_pause_info", "by_temporal_worker_deployment_version",
	"by_temporal_workflow_versioning_behavior", "by_temporal_worker_deployment",

	"by_temporal_bool_01", "by_temporal_bool_02", "by_temporal_datetime_01", "by_temporal_datetime_02",
	"by_temporal_double_01", "by_temporal_double_02", "by_temporal_int_01", "by_temporal_int_02",
	"by_temporal_keyword_01", "by_temporal_keyword_02", "by_temporal_keyword_03", "by_temporal_keyword_04",
	"by_temporal_low_cardinality_keyword_01",
}

// thinIndexes drops the indexes that are not worth their writes, and creates those over
// the columns of search attributes, which a later start may have more of.
func thinIndexes(cfg *config.SQL, taken map[string]bool) error {
	db, err := persistencesql.NewSQLAdminDB(sqlplugin.DbKindUnknown, cfg,
		resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range indexStatements(taken) {
		if err := db.Exec(statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// indexStatements makes the indexes those that taken columns need. They may be run
// again.
func indexStatements(taken map[string]bool) (statements []string) {
	for _, index := range unusedIndexes {
		statements = append(statements, "DROP INDEX IF EXISTS "+index)
	}
	columns := sadefs.GetDBIndexSearchAttributes(nil).CustomSearchAttributes
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		parts := numbered.FindStringSubmatch(column)
		if parts == nil || parts[1] == "Text" || parts[1] == "KeywordList" {
			continue // searched by words, which has an index of another kind
		}
		index := "by_" + strings.ToLower(parts[1]) + "_" + parts[2]
		if taken[column] {
			statements = append(statements, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON executions_visibility "+
				"(namespace_id, %s, (COALESCE(close_time, '9999-12-31 23:59:59+00:00')) DESC, start_time DESC, run_id)", index, column))
		} else {
			statements = append(statements, "DROP INDEX IF EXISTS "+index)
		}
	}
	return statements
}

// numbered takes the name of a column apart, such as Keyword01.
var numbered = regexp.MustCompile(`^([A-Za-z]+)([0-9]+)$`)
