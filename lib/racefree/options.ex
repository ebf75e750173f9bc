defmodule Racefree.Options do
  # One schema per function that takes options: it checks them and writes their documentation.
  #
  # A schema is a list of `{name, type, default, text}`; `:required` in the default's place means that there is none.
  @moduledoc false

  @type type ::
          :any
          | :atom
          | :path
          | :non_neg_integer
          | :pos_integer
          | :boolean
          | {:list, type}
          | {:one_of, [atom]}
  @type schema :: [{atom, type, term, String.t()}]

  @doc "The options as a map with all names of the schema, or an `ArgumentError` that says what is wrong."
  @spec check!(keyword, schema) :: map
  def check!(options, schema) do
    unless Keyword.keyword?(options),
      do: raise(ArgumentError, "expected a keyword list of options, got: #{inspect(options)}")

    names = for {name, _, _, _} <- schema, do: name

    case Keyword.keys(options) -- names do
      [] ->
        Map.new(schema, &option!(&1, options))

      [unknown | _] ->
        raise ArgumentError,
              "unknown option #{inspect(unknown)}, expected one of #{inspect(names)}"
    end
  end

  defp option!({name, type, default, _text}, options) do
    case Keyword.fetch(options, name) do
      {:ok, value} ->
        unless valid?(type, value),
          do:
            raise(
              ArgumentError,
              "expected #{describe(type)} for option #{inspect(name)}, got: #{inspect(value)}"
            )

        {name, value}

      :error when default == :required ->
        raise ArgumentError, "option #{inspect(name)} is required"

      :error ->
        {name, default}
    end
  end

  defp valid?(:any, _value), do: true
  defp valid?(:atom, value), do: is_atom(value) and value not in [nil, true, false]
  defp valid?(:path, value), do: is_binary(value) and value != "" and String.valid?(value)
  defp valid?(:non_neg_integer, value), do: is_integer(value) and value >= 0
  defp valid?(:pos_integer, value), do: is_integer(value) and value > 0
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?({:one_of, values}, value), do: value in values
  defp valid?({:list, type}, value), do: is_list(value) and Enum.all?(value, &valid?(type, &1))

  @doc "The schema as a Markdown list."
  @spec docs(schema) :: String.t()
  def docs(schema) do
    Enum.map_join(schema, "\n", fn {name, type, default, text} ->
      default = if default == :required, do: "required", else: "default `#{inspect(default)}`"
      "  * `#{inspect(name)}` (#{describe(type)}, #{default}): #{text}"
    end)
  end

  defp describe(:any), do: "any term"
  defp describe(:atom), do: "an atom"
  defp describe(:path), do: "a path"
  defp describe(:non_neg_integer), do: "an integer, 0 or more"
  defp describe(:pos_integer), do: "a positive integer"
  defp describe(:boolean), do: "a boolean"
  defp describe({:list, :atom}), do: "a list of atoms"
  defp describe({:one_of, values}), do: Enum.map_join(values, " or ", &inspect/1)
end
