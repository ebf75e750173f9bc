defmodule Racefree.Lint.Hook do
  # The pre-commit hook that `mix lint.races --install-hook` writes.
  @moduledoc false

  @mark "# Written by `mix lint.races --install-hook`; running that again replaces it."

  @doc "Writes the hook for the git repository around this folder. Gives its path, or what is in the way."
  @spec install([String.t()]) :: {:ok, Path.t()} | {:error, String.t()}
  def install(arguments) do
    # The folder may be another repository's, or set for all of a user's repositories; only git knows.
    with {:ok, hooks} <- git(~w(rev-parse --git-path hooks)),
         {:ok, prefix} <- git(~w(rev-parse --show-prefix)),
         path = Path.expand(Path.join(hooks, "pre-commit")),
         :ok <- replaceable(path, arguments),
         :ok <- File.mkdir_p(Path.dirname(path)),
         :ok <- File.write(path, script(prefix, arguments)),
         :ok <- File.chmod(path, 0o755) do
      {:ok, path}
    else
      {:error, words} when is_binary(words) -> {:error, words}
      {:error, reason} -> {:error, "cannot write the hook: #{:file.format_error(reason)}"}
    end
  end

  defp git(arguments) do
    case System.find_executable("git") && System.cmd("git", arguments, stderr_to_stdout: true) do
      nil -> {:error, "there is no git on PATH"}
      {output, 0} -> {:ok, String.trim_trailing(output, "\n")}
      {output, _} -> {:error, String.trim(output)}
    end
  end

  defp replaceable(path, arguments) do
    case File.read(path) do
      {:ok, text} ->
        if String.contains?(text, @mark), do: :ok, else: {:error, occupied(path, arguments)}

      {:error, :enoent} ->
        :ok

      {:error, reason} ->
        {:error, reason}
    end
  end

  defp occupied(path, arguments) do
    "#{path} is there already, and not from here; add this line to it:\n  #{command(arguments)} || exit 1"
  end

  # Git runs hooks at the top of the repository, and the project may lie below.
  defp script(prefix, arguments) do
    enter = if prefix == "", do: "", else: "cd #{quoted(prefix)} || exit 1\n"
    "#!/bin/sh\n#{@mark}\n#{enter}exec #{command(arguments)}\n"
  end

  defp command(arguments),
    do: Enum.join(["mix lint.races --staged" | Enum.map(arguments, &quoted/1)], " ")

  defp quoted(word), do: "'" <> String.replace(word, "'", "'\\''") <> "'"
end
