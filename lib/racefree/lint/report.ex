defmodule Racefree.Lint.Report do
  # The linter's JSON document as diagnostics of mix.
  #
  # Editors differ in what they keep of a diagnostic: some show related places in the same file only, some nothing but the message. So the message holds
  # the whole story, and `details` the finding as the document has it, for who wants more.
  @moduledoc false

  alias Mix.Task.Compiler.Diagnostic

  @compiler_name "lint_races"

  @doc "The diagnostics of a document whose paths are relative to `base`, for files below `folder`."
  @spec diagnostics(map, Path.t(), Path.t()) :: [Diagnostic.t()]
  def diagnostics(document, base, folder) do
    findings = for finding <- document["findings"], do: of_finding(finding, base)
    problems = for problem <- document["problems"], do: of_problem(problem, base)
    Enum.filter(findings ++ problems, &below?(&1.file, folder))
  end

  defp below?(path, folder), do: path == folder or String.starts_with?(path, folder <> "/")

  # A warning, however certain: the code compiles, and an error would say that it does not. Who wants it to fail says `--warnings-as-errors`.
  defp of_finding(finding, base) do
    new(:warning, finding, message(finding), base)
  end

  # What the linter could not read, or what is odd about how it was asked.
  defp of_problem(problem, base) do
    new(:information, problem, problem["message"], base)
  end

  defp new(severity, %{"path" => path, "range" => range} = details, message, base) do
    fields = [
      file: Path.expand(path, base),
      severity: severity,
      message: message,
      compiler_name: @compiler_name,
      details: details
    ]

    struct!(Diagnostic, fields ++ place(range))
  end

  defp place(nil), do: [position: 0]

  # Newer diagnostics have a place and the end of a span, in columns from 1; older ones a range, in columns from 0.
  if Map.has_key?(struct(Diagnostic), :span) do
    defp place(%{"start" => start, "end" => finish}) do
      [position: {start["line"], start["column"]}, span: {finish["line"], finish["column"]}]
    end
  else
    defp place(%{"start" => start, "end" => finish}) do
      [position: {start["line"], start["column"] - 1, finish["line"], finish["column"] - 1}]
    end
  end

  defp message(finding) do
    """
    #{finding["message"]} [#{finding["rule"]}]

    #{finding["trace"] |> Enum.with_index(1) |> Enum.map_join("\n", &step/1)}

    harm: #{finding["harm"]}
    help: #{finding["help"]}
    more: mix lint.races explain #{finding["rule"]}\
    """
  end

  defp step({step, number}), do: "#{number}. #{step["process"]}: #{step["message"]}#{at(step)}"

  defp at(%{"path" => path, "range" => %{"start" => start}}) when is_binary(path),
    do: " (#{path}:#{start["line"]})"

  defp at(_step), do: ""

  @doc "A diagnostic as text, in the manner of Elixir's."
  @spec text(Diagnostic.t()) :: String.t()
  def text(diagnostic) do
    [first | rest] = String.split(diagnostic.message, "\n")
    place = "  #{Path.relative_to_cwd(diagnostic.file)}#{line(diagnostic.position)}"

    word =
      if diagnostic.severity == :information, do: "note", else: to_string(diagnostic.severity)

    Enum.map_join(["#{word}: #{first}", place | Enum.map(rest, &indented/1)], "", &(&1 <> "\n"))
  end

  defp indented(""), do: ""
  defp indented(line), do: "  " <> line

  defp line(0), do: ""
  defp line({line, column}), do: ":#{line}:#{column}"
  defp line({line, column, _, _}), do: ":#{line}:#{column + 1}"
end
